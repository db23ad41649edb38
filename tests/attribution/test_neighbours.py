"""Parity with MONAI's Grad-CAM and torchcam's Grad-CAM and LayerCAM, stage by stage.

Where definitions do not coincide, a test says so: MONAI's ``__call__`` resizes and then turns the
map upside down (1 - min-max), and its Grad-CAM knows the region ``all`` alone; both rectify, and
torchcam's LayerCAM weights by ReLU(G) as ours does. torchcam 0.5.0's Grad-CAM++ divides a copy of
its weights, so that they stay g²; Grad-CAM++ is no rule here, hence no test of it.
"""

import pytest
import torch
from captum.attr import LayerGradCam
from monai.visualize import GradCAM as MonaiGradCAM
from torch import nn
from torchcam.methods import GradCAM, LayerCAM

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.network import stages as stages_of

STAGES = ("enc1", "enc3", "enc5", "dec2", "dec5")
CHANNEL = 2


@pytest.fixture(scope="module")
def net():
    return nets.flexible_unet()


def module_path(net, stage):
    return stages_of.resolve(net, [stage])[0].module


def rectified(net, stage, rule, region, truth=None):
    target = targets.organ(CHANNEL, region, truth)
    return segtrace.trace(net, [stage], nets.images(), target, [rule]).maps[stage][0, 0].relu()


def near(ours, theirs):
    assert ours.max() > 0
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12 * float(ours.max()))


def monai(net, stage):
    # Its hooks are never removed and it switches `inplace` off, so it gets a network of its own.
    return MonaiGradCAM(nets.flexible_unet(), target_layers=module_path(net, stage))


@pytest.mark.parametrize("stage", STAGES)
def test_seg_grad_cam_on_region_all_is_monai_s_compute_map(net, stage):
    theirs = monai(net, stage).compute_map(nets.images(), class_idx=CHANNEL)[:, 0]
    near(rectified(net, stage, "seg_grad_cam", "all"), theirs.detach())


def test_monai_s_call_turns_the_map_upside_down(net):
    ours = rectified(net, "dec5", "seg_grad_cam", "all")
    theirs = torch.as_tensor(monai(net, "dec5")(nets.images(), class_idx=CHANNEL))[:, 0]
    for own, other in zip(ours, theirs, strict=True):
        scaled = (own - own.min()) / (own.max() - own.min())
        assert torch.allclose(1 - scaled, other.to(own), atol=1e-5)


def torchcam(net, method, stage, truth):
    x = nets.images().requires_grad_()
    with method(net, target_layer=net.get_submodule(module_path(net, stage))) as cam:
        logits = net(x)

        def score_of(n):
            return lambda out: (out[CHANNEL] * (truth[n] == CHANNEL)).sum()

        per_slice = [score_of(n) for n in range(len(x))]
        return cam(None, logits, normalized=False, targets=per_slice)[0].detach()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("rule", "method"), [("seg_grad_cam", GradCAM), ("layer_cam", LayerCAM)])
def test_maps_of_a_region_are_torchcam_s(net, stage, rule, method):
    truth = nets.labels()
    near(rectified(net, stage, rule, "gt", truth), torchcam(net, method, stage, truth))


# A classifier: Grad-CAM as Selvaraju et al. have it


def classifier(axes, classes=3):
    conv, pool = ((nn.Conv2d, nn.AdaptiveAvgPool2d), (nn.Conv3d, nn.AdaptiveAvgPool3d))[axes - 2]
    torch.manual_seed(3)
    net = nn.Sequential(conv(1, 6, 3, stride=2), nn.Tanh(), conv(6, 8, 3), nn.SiLU(), pool(2),
                        nn.Flatten(), nn.Linear(8 * 2**axes, classes))  # fmt: skip
    return net.double().eval(), torch.randn(4, 1, *[13] * axes).double()


CLASSIFIED = {"first": "1", "last": "3"}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_classifiers_maps_are_captum_s_and_monai_s(axes, activation):
    net, x = classifier(axes)
    names = {f"class {c}": targets.organ(c, "all") for c in range(3)}
    flow = segtrace.trace(net, CLASSIFIED, x, names, activation=activation)
    torch.testing.assert_close(flow.scores, net(x).detach().T)
    for stage, path in CLASSIFIED.items():
        for c in range(3):
            ours = flow.maps[stage][0, c]
            captum = LayerGradCam(net, net.get_submodule(path)).attribute(x, target=c)
            torch.testing.assert_close(ours, captum[:, 0].detach(), rtol=1e-12, atol=1e-15)
            monai = MonaiGradCAM(classifier(axes)[0], target_layers=path)
            theirs = monai.compute_map(x, class_idx=c)[:, 0].detach()
            torch.testing.assert_close(ours.relu(), theirs, rtol=1e-12, atol=1e-15)


def test_of_a_classifier_the_class_that_is_not_predicted_is_absent():
    net, x = classifier(2)
    found = net(x).argmax(1)
    names = {str(c): targets.organ(c, "pred") for c in range(3)}
    status = segtrace.trace(net, CLASSIFIED, x, names).status[:, 0]
    for c, n in ((c, n) for c in range(3) for n in range(4)):
        assert bool((status[:, c, n] == Status.ABSENT).all()) is (int(found[n]) != c)


def test_of_one_logit_an_image_is_positive_above_0():
    net, x = classifier(2, classes=1)
    flow = segtrace.trace(net, CLASSIFIED, x, targets.organ(0, "pred"))
    assert flow.activation == "sigmoid"
    assert torch.equal(flow.prediction[:, 0, 0, 0], net(x)[:, 0] > 0)


def test_a_truth_of_a_classifier_is_a_class_an_image():
    net, x = classifier(2)
    classes = torch.tensor([0, 1, 1, 2])
    target = targets.organ(1, "gt", classes[:, None, None])
    flow = segtrace.trace(net, CLASSIFIED, x, target)
    assert flow.region_px.tolist() == [[0, 1, 1, 0]]
    maps = targets.organ(1, "gt", torch.ones(4, 13, 13).long())
    with pytest.raises(InputError, match=r"is a classifier.*classes.reshape\(-1, 1, 1\)"):
        segtrace.trace(net, CLASSIFIED, x, maps)
