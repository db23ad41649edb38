"""The table of known networks in docs/networks.md, measured: every map against three others.

PYTHONPATH=src:tests .venv-foreign/bin/python tests/foreign/networks_table.py > docs/networks.md
"""

import warnings
from collections.abc import Callable, Iterator

import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

import segtrace
from foreign.networks import NETWORKS as FOREIGN
from helpers.known_checks import Known, check_maps, logits_at
from helpers.known_networks import MONAI, TWINS
from helpers.nets import stirred
from segtrace.attribution import targets
from segtrace.network import edges
from segtrace.network.known.table import find
from segtrace.network.stages import Stage

INTRO = """\
# Networks that are known

A network of this table is explained without a word on where to look: `stages`, `edges` and `output`
may be left out, in Python, in a training of your own and in `explain.py net=…`.

```python
flow = segtrace.trace(net, None, image, targets.organs({"liver": 1}, region="pred"))
print(segtrace.describe(net, image))  # its stages and edges, and whether its gradient is right
```

It is known by module and name of its class, or of a parent class; no package is imported for it.
Another network of yours names its stages; what is given always wins over the table.
A network of several outputs is read where its logits are, whatever stands beside them; logits of
transformers' Segformer are resized to the image, as its own loss does.

One line a network, by small ones with random weights in float64, 2-D: where the maps of all
stages are furthest from plain hooks (Seg-Grad-CAM and Grad-PAM), and from captum and
pytorch-grad-cam (Seg-Grad-CAM, at the stages that are neither void nor tokens, which they do not
lay out), as a share of each map's maximum. Void are stages at which averaging rules draw noise,
since a normalisation over the image cancels the average: read Grad-PAM there.
Every stage's gradient equals finite differences, every cut a cut by hand
(`tests/network/test_known.py` and, of the packages themselves, `make test-foreign`).

| network | a user writes | stages | edges | logits | hooks | captum | pytorch-grad-cam | void |
|---|---|---|---|---|---|---|---|---|
"""
OUTRO = """
Made by `PYTHONPATH=src:tests .venv-foreign/bin/python tests/foreign/networks_table.py >
docs/networks.md` (`make test-foreign` installs what it needs). TransUNet and Swin-Unet are
published as repositories, under the names of their files; here they are small networks of the same
modules and joints.

What to know of some:
* segmentation-models-pytorch: of the encoders ResNet, ResNeXt, SE-Net, SK-Net, DenseNet,
  MobileNetV2, timm's EfficientNet, MobileOne and Mix Transformer are known; of others name the
  stages.
  UNet++: of the nested decoder, the blocks that follow one another up to the output; a skip is the
  encoder's own feature, beside which other blocks enter. FPN: edges of the pyramid.
* nnU-Net: InstanceNorm, so Seg-Grad-CAM is void at most stages; Grad-PAM is the rule to read.
* TransUNet, Swin-Unet and Segformer have stages of tokens, which are laid on a square grid: give
  square images, or the layout by hand, `{module: …, layout: tokens(h, w)}`.
* torchvision's networks and Segformer have no skips: stages alone can be cut.
"""


class Picked(nn.Module):
    """The network, with nothing but its logits, as the others need it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return logits_at(self.net, x)


def largest(stages: tuple[Stage, ...], flow, others: Callable[[Stage], Tensor]) -> str:
    """The largest difference from someone else's maps, as a share of each map's maximum."""
    far = []
    for stage in stages:
        ours, theirs = flow.maps[stage.name][0, 0], others(stage)
        far.append(float((ours - theirs).abs().max() / ours.abs().max()))
    return f"{max(far):.0e}" if far else "–"


def captum(net: nn.Module, x: Tensor) -> Callable[[Stage], Tensor]:
    def maps(stage: Stage) -> Tensor:
        method = LayerGradCam(lambda x: logits_at(net, x)[:, 1].flatten(1).sum(1),
                              net.get_submodule(stage.module))  # fmt: skip
        return method.attribute(x.clone().requires_grad_())[:, 0].detach()

    return maps


def grad_cam(net: nn.Module, x: Tensor) -> Callable[[Stage], Tensor]:
    def maps(stage: Stage) -> Tensor:
        layer = net.get_submodule(stage.module)
        with GradCAM(Picked(net), [layer]) as method:
            method.activations_and_grads(x.clone().requires_grad_())[:, 1].sum().backward()
            found = method.activations_and_grads
            passed, gradients = (t[0].numpy() for t in (found.activations, found.gradients))
            seen = method.get_cam_image(x, layer, [None], passed, gradients)
        return torch.as_tensor(seen).to(x)

    return maps


def row(name: str, known: Known) -> str:
    net, x = stirred(known.build), known.images()
    described = segtrace.describe(net, x)
    assert not described.gradient_cut, name
    stages = tuple(report.stage for report in described.stages)
    flow = segtrace.trace(net, None, x, targets.organ(1, "all"))
    like = tuple(r.stage for r in described.stages if r.averages and r.stage.layout == "nchw")
    void = [report for report in described.stages if not report.averages]
    cells = [
        name,
        "1 line",
        str(len(stages)),
        str(len(edges.known(net))),
        f"`{find(net).output}`" if find(net).output else "tensor",
        f"{check_maps(net, known):.0e}",
        largest(like, flow, captum(net, x)),
        largest(like, flow, grad_cam(net, x)),
        f"{len(void)} of {len(stages)}",
    ]
    return "| " + " | ".join(cells) + " |"


def shown() -> Iterator[tuple[str, Known]]:
    for name, known in (MONAI | FOREIGN | TWINS).items():
        published = name in ("TransUNet", "Swin-Unet")
        if known.axes == 2 and (name not in TWINS or published or name in FOREIGN):
            prefix = "MONAI " if name in MONAI else ""
            yield prefix + name, FOREIGN.get(name, known)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(INTRO, end="")
    for name, known in shown():
        print(row(name, known), flush=True)
    print(OUTRO, end="")
