"""Small twins of networks of torchvision and of transformers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.twins.naming import named
from helpers.twins.segmentation_models import conv

TORCHVISION = "torchvision.models.segmentation"


class Segmentation(nn.Module):
    """A backbone whose last feature goes into a classifier; logits in a dictionary."""

    def __init__(self, classifier):
        super().__init__()
        widths = (4, 4, 6, 6, 8)
        self.backbone = nn.ModuleDict({"conv1": conv(1, 4, 2), "maxpool": nn.MaxPool2d(2)})
        for i in range(1, 5):
            self.backbone[f"layer{i}"] = conv(widths[i - 1], widths[i], 1 + (i == 2))
        self.classifier, self.aux_classifier = classifier, nn.Conv2d(6, 3, 1)

    def forward(self, x):
        found = {}
        y = x
        for name, module in self.backbone.items():
            y = found[name] = module(y)
        places = {"aux": self.aux_classifier(found["layer3"]), "out": self.classifier(y)}
        return {name: F.interpolate(o, x.shape[2:], mode="bilinear") for name, o in places.items()}


@named(f"{TORCHVISION}.fcn.FCN")
class FCN(Segmentation):
    def __init__(self):
        block = [*conv(8, 4), nn.Dropout(0.1), nn.Conv2d(4, 3, 1)]
        super().__init__(nn.Sequential(*block))


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8, 3, 3, padding=r, dilation=r) for r in (1, 2))

    def forward(self, x):
        return torch.cat([one(x) for one in self.convs], 1).relu()


@named(f"{TORCHVISION}.deeplabv3.DeepLabV3")
class DeepLabV3(Segmentation):
    def __init__(self):
        super().__init__(nn.Sequential(Pyramid(), *conv(6, 6), nn.Conv2d(6, 3, 1)))


@dataclass
class Returned:
    logits: Tensor
    hidden_states: tuple


class Stage(nn.Module):
    """A stage of transformers 5: it gives its tokens back as a grid."""

    def __init__(self, entering, leaving, stride):
        super().__init__()
        self.patch_embeddings = nn.Conv2d(entering, leaving, 3, stride, padding=1)
        self.layer_norm = nn.LayerNorm(leaving)

    def forward(self, x):
        grid = self.patch_embeddings(x)
        tokens = self.layer_norm(grid.flatten(2).mT)
        return tokens.mT.unflatten(2, grid.shape[2:])


class Encoder4(nn.Module):
    """The encoder of transformers 4: its norms put out tokens."""

    def __init__(self, widths):
        super().__init__()
        pairs = zip((1, *widths), widths, strict=False)
        self.patch_embeddings = nn.ModuleList(
            nn.Conv2d(a, b, 3, 4 if a == 1 else 2, padding=1) for a, b in pairs
        )
        self.layer_norm = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def forward(self, x):
        features = []
        for embed, norm in zip(self.patch_embeddings, self.layer_norm, strict=True):
            grid = embed(x)
            x = norm(grid.flatten(2).mT).mT.unflatten(2, grid.shape[2:])
            features.append(x)
        return features


class MLP(nn.Module):
    """Takes in a grid, puts out tokens."""

    def __init__(self, entering, leaving):
        super().__init__()
        self.proj = nn.Linear(entering, leaving)

    def forward(self, x):
        return self.proj(x.flatten(2).mT)


class DecodeHead(nn.Module):
    def __init__(self, widths, version, width=6):
        super().__init__()
        self.name = "linear_projections" if version == 5 else "linear_c"
        setattr(self, self.name, nn.ModuleList(MLP(w, width) for w in widths))
        self.linear_fuse, self.batch_norm = nn.Conv2d(4 * width, width, 1), nn.BatchNorm2d(width)
        self.activation, self.classifier = nn.ReLU(), nn.Conv2d(width, 3, 1)

    def forward(self, features):
        size = features[0].shape[2:]
        resized = [
            F.interpolate(project(f).mT.unflatten(2, f.shape[2:]), size, mode="bilinear")
            for project, f in zip(getattr(self, self.name), features, strict=True)
        ]
        fused = self.batch_norm(self.linear_fuse(torch.cat(resized[::-1], 1)))
        return self.classifier(self.activation(fused))


@named("transformers.models.segformer.modeling_segformer.SegformerForSemanticSegmentation")
class Segformer(nn.Module):
    def __init__(self, version=5, widths=(4, 6, 8, 8)):
        super().__init__()
        pairs = zip((1, *widths), widths, strict=False)
        self.segformer = nn.Module()
        if version == 5:
            stages = [Stage(a, b, 4 if a == 1 else 2) for a, b in pairs]
            self.segformer.stages = nn.ModuleList(stages)
            for stage in stages:  # what the decoder takes in comes from hooks
                stage.register_forward_hook(lambda _m, _i, out: self.captured.append(out))
        else:
            self.segformer.encoder = Encoder4(widths)
        self.decode_head = DecodeHead(widths, version)

    def forward(self, x):
        self.captured = []
        if hasattr(self.segformer, "stages"):
            for stage in self.segformer.stages:
                x = stage(x)
        else:
            self.captured = self.segformer.encoder(x)
        return Returned(self.decode_head(self.captured), tuple(self.captured))
