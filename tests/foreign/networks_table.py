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
from helpers.known_networks import MONAI, OURS, TWINS
from helpers.nets import stirred
from segtrace.attribution import targets
from segtrace.models.networks import key_of
from segtrace.network import edges
from segtrace.network.known.table import find
from segtrace.network.stages import Stage

INTRO = """\
# Networks that are known

Does yours work at once? Yes, if its class or a parent class stands in the first column below:
`stages`, `edges` and `output` may be left out, in Python, in a training of your own and in
`explain.py net=…`. Any other works as well: name its stages, or take a proposal (see the end).

```python
flow = segtrace.trace(net, None, image, targets.organs({"liver": 1}, region="pred"))
print(segtrace.describe(net, image))  # its stages and edges, and whether its gradient is right
```

What `describe` prints of a stage: `K`, its channels; `cells`, the size of its maps, and `stride`,
pixels a cell; `kappa`, 1 where the gradient has one sign and 0 where its average cancels;
`gradient`, `right` or `cut`, where autograd is not the derivative and every map is wrong;
`average`, whether rules that average the gradient (`seg_grad_cam`) can be read there.

A network is known by module and name of its class; no package is imported for it. What is given
always wins over the table. A softmax or a sigmoid is no part of a network here: of one channel it
is a sigmoid, of several say `activation="sigmoid"` where they may overlap. Logits of transformers'
Segformer are resized to the image, as its own loss does.

The columns: how many **stages** and **edges** (skips and up paths that can be cut) are known;
where the **logits** are in what the network returns; in which **axes** it was tested, 3-D in Python
(`describe`, `trace`, cuts); **tested as** itself, in `make test` or, of other packages, in
`make test-foreign`, or as a small twin of the published code; whether **explain.py** reads a
checkpoint of `train.py` without being told the class again. Then, of small ones with random weights
in float64, 2-D, the largest difference of maps from plain **hooks** (Seg-Grad-CAM and Grad-PAM),
**captum** and **pytorch-grad-cam** (Seg-Grad-CAM, at the stages that are neither void nor tokens,
which they do not lay out), as a share of each map's maximum. **Void** are stages at which averaging
rules draw noise, since a normalisation over the image cancels the average: read Grad-PAM there. Of
all of them every stage's gradient equals finite differences, and every cut a cut by hand
(`tests/network/test_known.py`).

| network | stages | edges | logits | axes | tested as | explain.py | hooks | captum | \
pytorch-grad-cam | void |
|---|---|---|---|---|---|---|---|---|---|---|
"""
OUTRO = """
Made by `PYTHONPATH=src:tests .venv-foreign/bin/python tests/foreign/networks_table.py >
docs/networks.md` (`make test-foreign` installs what it needs).

What to know of some:

* segmentation-models-pytorch: of the encoders ResNet, ResNeXt, SE-Net, SK-Net, DenseNet,
  MobileNetV2, timm's EfficientNet, MobileOne and Mix Transformer are known; of others name the
  stages.
  UNet++ (MONAI's too): of the nested decoder, the blocks that follow one another up to the
  output; a skip is the encoder's own feature, beside which other blocks enter. FPN: edges of the
  pyramid.
* nnU-Net: InstanceNorm, so Seg-Grad-CAM is void at most stages; Grad-PAM is the rule to read.
* The two of `segtrace.models`, `model=transunet` and `model=unet_ronneberger`, are built from their
  papers; in what they differ from the authors' programs their docstrings say. TransUNet and
  Swin-Unet in the table are those programs.
* TransUNet, Swin-Unet and Segformer have stages of tokens, which are laid on a square grid: give
  square images, or the layout by hand, `{module: …, layout: tokens(h, w)}`.
* torchvision's networks have no edges: their decoder takes in the encoder's last feature alone.
  Into Segformer's one decoder stage come all four features: `up_1` from enc4, `skip_1` from enc3,
  `skip_1_2` and `skip_1_3` from those above.
* Deep supervision: `train.py` trains the output that holds the logits. In several processes the
  weights of the others ask for `trainer.strategy=ddp_find_unused_parameters_true`.

Of a network in no table `segtrace.describe(net, image)` proposes stages and, where they can be
told, edges. None is proposed, and a line says so, where something else of the image enters a stage
besides (nested decoders), where an upsampling that is no module is added to the encoder's very
output, and where tokens are joined by a layer.
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
        str(len(stages)),
        str(len(edges.known(net))),
        f"`{find(net).output}`" if find(net).output else "tensor",
        *tested(name, net),
        f"{check_maps(net, known):.0e}",
        largest(like, flow, captum(net, x)),
        largest(like, flow, grad_cam(net, x)),
        f"{len(void)} of {len(stages)}",
    ]
    return "| " + " | ".join(cells) + " |"


def tested(name: str, net: nn.Module) -> Iterator[str]:
    """Axes, as what, and whether a checkpoint may ask for the class."""
    known = {**MONAI, **OURS, **FOREIGN}
    name = name.removeprefix("MONAI ")
    yield "2-D, 3-D" if f"{name} 3-D" in known else "2-D"
    yield "itself" if name in known else "twin"
    yield "at once" if key_of(type(net)) else "`net=…`"


def shown() -> Iterator[tuple[str, Known]]:
    for name, known in (MONAI | OURS | FOREIGN | TWINS).items():
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
