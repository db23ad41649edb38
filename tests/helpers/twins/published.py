"""Small twins of TransUNet and Swin-Unet: the paths, arguments and joints of their repositories."""

import torch
from torch import nn

from helpers.twins.naming import named
from helpers.twins.segmentation_models import conv


class Hybrid(nn.Module):
    """Three features, the finest last; a side that does not fit is made up with zeros."""

    def __init__(self, widths=(4, 6, 6, 8)):
        super().__init__()
        self.root = conv(3, widths[0], 2, 7)
        self.body = nn.Sequential()
        for i in range(1, 4):
            self.body.add_module(f"block{i}", conv(widths[i - 1], widths[i], 1 + (i > 1)))

    def forward(self, x):
        n, _, side, _ = x.shape
        features = [self.root(x)]
        x = nn.functional.max_pool2d(features[0], 3, 2)
        for i in (0, 1):
            x = self.body[i](x)
            wanted = side // 4 // (i + 1)
            feature = x
            if x.shape[2] != wanted:
                feature = torch.zeros(n, x.shape[1], wanted, wanted)  # in the default precision
                feature[:, :, : x.shape[2], : x.shape[3]] = x
            features.append(feature)
        return self.body[2](x), features[::-1]


class Embeddings(nn.Module):
    def __init__(self, side, hidden):
        super().__init__()
        self.hybrid_model = Hybrid()
        self.patch_embeddings = nn.Conv2d(8, hidden, 1)
        self.position_embeddings = nn.Parameter(torch.randn(1, (side // 16) ** 2, hidden))

    def forward(self, x):
        x, features = self.hybrid_model(x)
        return self.patch_embeddings(x).flatten(2).mT + self.position_embeddings, features


class Encoder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layer = nn.ModuleList(
            [nn.TransformerEncoderLayer(hidden, 2, 8, 0.0, batch_first=True, norm_first=True)]
        )
        self.encoder_norm = nn.LayerNorm(hidden)

    def forward(self, x):
        for layer in self.layer:
            x = layer(x)
        return self.encoder_norm(x), []


class Transformer(nn.Module):
    def __init__(self, side, hidden=8):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(side, hidden), Encoder(hidden)

    def forward(self, x):
        tokens, features = self.embeddings(x)
        return *self.encoder(tokens), features


class Block(nn.Module):
    def __init__(self, below, skip, leaving):
        super().__init__()
        self.conv1 = conv(below + skip, leaving)
        self.up = nn.UpsamplingBilinear2d(scale_factor=2)

    def forward(self, x, skip=None):
        x = self.up(x)
        return self.conv1(x if skip is None else torch.cat([x, skip], 1))


class Cup(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_more = conv(8, 8)
        widths = ((8, 6, 6), (6, 6, 6), (6, 4, 4), (4, 0, 4))
        self.blocks = nn.ModuleList(Block(*three) for three in widths)

    def forward(self, tokens, features):
        side = round(tokens.shape[1] ** 0.5)
        x = self.conv_more(tokens.mT.unflatten(2, (side, side)))
        for i, block in enumerate(self.blocks):
            x = block(x, skip=features[i] if i < 3 else None)
        return x


@named("networks.vit_seg_modeling.VisionTransformer")
class TransUNet(nn.Module):
    def __init__(self, side=64):
        super().__init__()
        self.transformer, self.decoder = Transformer(side), Cup()
        self.segmentation_head = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.Identity())

    def forward(self, x):
        tokens, _, features = self.transformer(x.repeat(1, 3, 1, 1))
        return self.segmentation_head(self.decoder(tokens, features))


class Layer(nn.Module):
    """Tokens mixed along their grid, then merged or expanded."""

    def __init__(self, side, width, change=None):
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(width), nn.Linear(side**2, side**2)
        self.change = change

    def forward(self, x):
        x = x + self.mixed(self.norm(x).mT).tanh().mT
        return x if self.change is None else self.change(x)


class Merging(nn.Module):
    def __init__(self, side, width):
        super().__init__()
        self.side, self.reduction = side, nn.Linear(4 * width, 2 * width)

    def forward(self, x):
        grid = x.mT.unflatten(2, (self.side, self.side))
        return self.reduction(nn.functional.pixel_unshuffle(grid, 2).flatten(2).mT)


class Expand(nn.Module):
    def __init__(self, side, width, by=2, leaving=None):
        super().__init__()
        leaving = leaving or width // 2
        self.side, self.by, self.expand = side, by, nn.Linear(width, by * by * leaving)

    def forward(self, x):
        grid = self.expand(x).mT.unflatten(2, (self.side, self.side))
        return nn.functional.pixel_shuffle(grid, self.by).flatten(2).mT


@named("networks.swin_transformer_unet_skip_expand_decoder_sys.SwinTransformerSys")
class SwinTransformerSys(nn.Module):
    def __init__(self, side=64, channels=1):
        super().__init__()
        sides, widths = [side // 4 // 2**i for i in range(4)], [4 * 2**i for i in range(4)]
        levels = list(zip(sides, widths, strict=True))
        self.patch_embed, self.pos_drop = nn.Conv2d(channels, 4, 4, 4), nn.Dropout(0.1)
        self.layers = nn.ModuleList(
            Layer(s, w, Merging(s, w) if s > sides[-1] else None) for s, w in levels
        )
        self.norm, self.norm_up = nn.LayerNorm(widths[-1]), nn.LayerNorm(widths[0])
        self.layers_up = nn.ModuleList([Expand(sides[-1], widths[-1])])
        self.concat_back_dim = nn.ModuleList([nn.Identity()])
        for s, w in levels[-2::-1]:
            self.layers_up.append(Layer(s, w, Expand(s, w) if w > 4 else None))
            self.concat_back_dim.append(nn.Linear(2 * w, w))
        self.side = sides[0]
        self.up, self.output = Expand(self.side, 4, 4, 4), nn.Conv2d(4, 3, 1, bias=False)

    def forward(self, x):
        x = self.pos_drop(self.patch_embed(x).flatten(2).mT)
        before = []
        for layer in self.layers:
            before.append(x)
            x = layer(x)
        x = self.norm(x)
        for i, layer in enumerate(self.layers_up):
            if i:
                x = self.concat_back_dim[i](torch.cat([x, before[3 - i]], -1))
            x = layer(x)
        grid = self.up(self.norm_up(x)).mT
        return self.output(grid.unflatten(2, (4 * self.side, 4 * self.side)))


@named("networks.vision_transformer.SwinUnet")
class SwinUnet(nn.Module):
    def __init__(self):
        super().__init__()
        self.swin_unet = SwinTransformerSys(channels=3)

    def forward(self, x):
        return self.swin_unet(x.repeat(1, 3, 1, 1))
