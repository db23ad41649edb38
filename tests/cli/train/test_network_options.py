"""Every network of conf/model: trained, kept, traced; arguments of another class are refused."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

import segtrace
from cli.train.test_run import fit, plan_of
from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.checkpoint.loading import build, load
from segtrace.cli.entry import opened
from segtrace.cli.train.network_options import of_its_class

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*smaller than the logging interval.*",
)
CONF = ROOT / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
LEVELS = "model.net.channels=[4,6,8,8,8]"
SMALL = {
    "attention_unet": (LEVELS,),
    "basic_unet": ("model.net.features=[4,4,6,8,8,4]",),
    "dyn_unet": ("model.net.filters=[4,4,6,6,8,8]",),
    "flexible_unet": ("model.net.backbone=resnet10", "model.net.decoder_channels=[16,8,8,4,4]"),
    "segresnet": ("model.net.init_filters=4",),
    "swin_unetr": ("model.net.feature_size=12", "model.net.depths=[1,1,1,1]"),
    "transunet": (
        "model.net.width=4", "model.net.blocks=[1,1,1]", "model.net.hidden_size=12",
        "model.net.mlp_dim=16", "model.net.num_layers=1", "model.net.num_heads=2",
        "model.net.decoder_channels=[8,8,6,4,4]",
    ),
    "unet": (LEVELS,),
    "unet_ronneberger": ("model.net.features=[4,6,6,8,8]",),
    "unetr": (
        "model.net.feature_size=2", "model.net.hidden_size=12", "model.net.mlp_dim=16",
        "model.net.num_heads=2",
    ),
}  # fmt: skip
VOID = {"attention_unet": {f"enc{i}" for i in range(1, 6)} | {"dec1", "dec2", "dec3"}}
"""Stages at which an instance normalisation that no option changes cancels averaged gradients."""


def network_of(*typed):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [opened(one) for one in typed])
    return OmegaConf.to_container(config.model.net, resolve=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Beside whose runs the cache lies."""
    return tmp_path_factory.mktemp("networks")


@pytest.mark.parametrize("name", NAMES)
def test_every_network_trains_is_kept_and_is_traced(name, place, tiny_raw):
    plan = plan_of(
        place / name, tiny_raw, "trainer.max_epochs=1", "data.steps_per_epoch=2",
        "callbacks.flow=null", "callbacks.baselines=null", "trainer.limit_val_batches=1",
        net=(f"model={name}", *SMALL[name]),
    )  # fmt: skip
    trained = fit(plan)
    kept = load(place / name / "checkpoints" / "epoch_001.ckpt")
    assert type(kept.net) is type(trained.net)
    assert len(kept.description["organs"]) == 4
    image = torch.rand(1, 1, 64, 64)
    described = segtrace.describe(kept.net, image)
    assert described.gradient_cut == ()
    assert {r.stage.name for r in described.stages if not r.averages} == VOID.get(name, set())
    rules = ("seg_grad_cam", "grad_pam")
    flow = segtrace.trace(kept.net, None, image, targets.organ(1, "all"), rules)
    assert list(flow.maps) == [report.stage.name for report in described.stages]
    assert kept.description["edges"]


def test_a_group_leaves_no_argument_of_another_behind():
    for name in NAMES:
        net = network_of(f"model={name}")
        assert of_its_class(net, [f"model={name}"], []) == net


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ("monai.networks.nets.BasicUNet", {"spatial_dims", "in_channels", "out_channels"}),
        ("segtrace.models.ronneberger2015.RonnebergerUNet", {"in_channels", "out_channels"}),
        ("helpers.own_nets.UNet", set()),
        ("cli.train.test_network_options.Anything",
         {"spatial_dims", "in_channels", "out_channels", "backbone"}),
    ],
)  # fmt: skip
def test_what_another_class_does_not_take_is_left_out_and_told(target, left, capsys):
    for typed in ([f"model.net._target_={target}"], [f"model.net={{_target_: {target}}}"]):
        net = of_its_class(network_of(*typed), typed, [CONF])
        assert net.keys() == {"_target_", *left}
        assert build({**net, **dict.fromkeys({"out_channels"} & left, 3)}, "net")
        told = f"model.net: {target} takes no "
        assert (told in capsys.readouterr().out) == ("backbone" not in left)


class Anything(nn.Module):
    def __init__(self, **options):
        super().__init__()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("model.net._target_=monai.networks.nets.unet.Unet",),
         r"needs channels, strides; say model=unet, or model.net.channels=… model.net.stri"),
        (("model.net._target_=torch.nn.Conv2d",), r"kernel_size; say model.net.kernel_size=…$"),
        (("model=unet", "model.net.chanels=[4,8]"), "did you mean model.net.channels"),
        (("model.net.backbon=resnet50",), "did you mean model.net.backbone"),
        (("model.net._target_=monai.networks.nets.BasicUNet", "model.net.backbone=resnet50"),
         r"no argument 'model.net.backbone'; monai.networks.nets.BasicUNet has"),
        (("model.net._target_=my.Nothing",), r"model.net: cannot import 'my.Nothing'"),
    ],
)  # fmt: skip
def test_an_argument_that_there_is_not_and_one_that_is_missing_is_one_line(typed, message):
    with pytest.raises(InputError, match=message) as caught:
        of_its_class(network_of(*typed), typed, [CONF])
    assert "\n" not in str(caught.value)
