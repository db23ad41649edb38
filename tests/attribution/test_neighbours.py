"""Parity with MONAI's Grad-CAM and torchcam's Grad-CAM and LayerCAM, stage by stage.

Where definitions do not coincide, a test says so: MONAI's ``__call__`` resizes and then turns the
map upside down (1 - min-max), and its Grad-CAM knows the region ``all`` alone; both rectify, and
torchcam's LayerCAM weights by ReLU(G) as ours does. torchcam 0.5.0's Grad-CAM++ divides a copy of
its weights, so that they stay g²; Grad-CAM++ is no rule here, hence no test of it.
"""

import pytest
import torch
from monai.visualize import GradCAM as MonaiGradCAM
from torchcam.methods import GradCAM, LayerCAM

import segtrace
from helpers import nets
from segtrace.attribution import targets
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
