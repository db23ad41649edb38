"""What a checkpoint may ask for: networks of a table, with numbers and words of a list."""

import inspect
import warnings
from importlib import import_module
from pydoc import locate

import monai.networks.nets as nets
import pytest
from torch import nn

from segtrace import InputError
from segtrace.models import networks, table
from segtrace.models.flexible_unet import FlexibleUNet

ROOM = 10**9
FLEXIBLE = {"in_channels": 1, "out_channels": 3, "backbone": "resnet10", "spatial_dims": 2}
BASIC = {"spatial_dims": 2, "features": [4, 4, 6, 8, 8, 4], "norm": "batch", "dropout": 0.1}
UNET = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "channels": [4, 6, 8],
        "strides": [2, 2], "num_res_units": 1, "act": "PRELU"}  # fmt: skip
ATTENTION = {name: UNET[name] for name in UNET if name not in ("num_res_units", "act")}
DYN = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "kernel_size": [3, 3, [3, 3]],
       "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 6, 8],
       "norm_name": "batch", "act_name": ["leakyrelu", {"negative_slope": 0.01}]}  # fmt: skip
UNETR = {"in_channels": 1, "out_channels": 3, "img_size": 32, "spatial_dims": 2,
         "hidden_size": 12, "mlp_dim": 16, "num_heads": 3, "feature_size": 2}  # fmt: skip
SWIN = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "spatial_dims": 2,
        "depths": [1, 1, 1, 1], "num_heads": [3, 3, 3, 3]}  # fmt: skip
BUILT = {
    "FlexibleUNet": FLEXIBLE | {"norm": ["batch", {"eps": 0.001}], "act": "relu"},
    "MonaiFlexibleUNet": FLEXIBLE | {"decoder_channels": (8, 8, 4, 4, 4), "pre_conv": None},
    "BasicUNet": BASIC,
    "UNet": UNET,
    "AttentionUnet": ATTENTION,
    "SegResNet": {"spatial_dims": 2, "norm": ["GROUP", {"num_groups": 4}], "blocks_up": [1, 1, 1]},
    "DynUNet": DYN,
    "UNETR": UNETR,
    "SwinUNETR": SWIN,
    "VNet": {"spatial_dims": 2, "out_channels": 3, "act": "prelu", "dropout_dim": 2},
    "SegResNetDS": {"spatial_dims": 2, "init_filters": 4, "blocks_down": [1, 1, 1], "dsdepth": 2,
                    "resolution": [1.0, 2.0], "norm": ["batch", {"eps": 0.001}]},
    "BasicUNetPlusPlus": BASIC | {"deep_supervision": True},
    "MedNeXt": {"spatial_dims": 2, "init_filters": 2, "kernel_size": 3, "norm_type": "layer",
                "encoder_expansion_ratio": [1, 2, 2, 2], "deep_supervision": True},
    "RonnebergerUNet": {"in_channels": 1, "out_channels": 3, "features": [4, 6, 8], "norm": ""},
    "TransUNet": {"in_channels": 1, "out_channels": 3, "img_size": 32, "width": 4,
                  "blocks": [1, 1, 1], "hidden_size": 12, "mlp_dim": 16, "num_heads": 2,
                  "num_layers": 1, "decoder_channels": [8, 8, 6, 4, 4]},
}  # fmt: skip


def build(key, most=ROOM, **arguments):
    return networks.build(key, arguments, "x.ckpt: network", most)


@pytest.mark.parametrize("key", table.NETWORKS)
def test_a_known_network_is_built_as_its_class_builds_it(key):
    known = table.NETWORKS[key]
    net = build(key, **BUILT[key])
    own = getattr(import_module(known.module), known.name)(**BUILT[key])
    assert type(net) is type(own)
    assert str(net) == str(own)
    assert networks.key_of(type(net)) == key


@pytest.mark.parametrize("key", table.NETWORKS)
def test_the_table_names_arguments_that_the_class_has_and_paths_that_lead_to_it(key):
    known = table.NETWORKS[key]
    cls = getattr(import_module(known.module), known.name)
    signed = nets.FlexibleUNet if cls is FlexibleUNet else cls
    assert set(known.arguments) <= set(inspect.signature(signed).parameters)
    for path in known.paths:
        assert locate(path) is cls
        assert table.PATHS[path] == key


def test_only_what_imports_a_package_or_is_a_class_is_left_out():
    given = set(inspect.signature(nets.SwinUNETR).parameters)
    left_out = given - set(table.NETWORKS["SwinUNETR"].arguments)
    assert {name for name in left_out if "hyena" not in name} == {"norm_layer"}


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("BasicUNet", {"act": "${oc.create:{_target_: os.mkdir, _args_: [ran]}}"}),
        ("BasicUNet", {"act": {"_target_": "os.mkdir", "path": "ran"}}),
        ("BasicUNet", {"act": ["relu", {"inplace": {"_target_": "os.mkdir"}}]}),
        ("BasicUNet", {"act": ["relu", {"device": "cuda"}]}),
        ("BasicUNet", {"act": ["prelu", {"num_parameters": 10**12}]}),
        ("BasicUNet", {"norm": "instance_nvfuser"}),
        ("BasicUNet", {"norm": ["batch", {"__class__": 1}]}),
        ("BasicUNet", {"dropout": "os.system"}),
        ("BasicUNet", {"dropout": 2.0}),
        ("BasicUNet", {"features": "abc"}),
        ("BasicUNet", {"features": [10**9] * 6}),
        ("BasicUNet", {"features": [True] * 6}),
        ("BasicUNet", {"spatial_dims": "2"}),
        ("BasicUNet", {"_target_": "os.mkdir"}),
        ("BasicUNet", {"_partial_": True}),
        ("BasicUNet", {"self": 1}),
        ("BasicUNet", {"upsample": "../x"}),
        ("FlexibleUNet", {"backbone": "os.system"}),
        ("FlexibleUNet", {"pre_conv": "os.system"}),
        ("SegResNet", {"norm_name": "os.system"}),
        ("SwinUNETR", {"use_hyena": True}),
        ("SwinUNETR", {"norm_layer": "os.system"}),
        ("SwinUNETR", {"downsample": "os.system"}),
        ("SwinUNETR", {"window_size": 1000}),
        ("UNet", {"channels": [1] * 33}),
        ("UNet", {"num_res_units": 10**6}),
        ("DynUNet", {"kernel_size": [[3] * 33] * 3}),
        ("SegResNetDS", {"preprocess": "os.system"}),
        ("SegResNetDS", {"resolution": ["os.system"]}),
        ("MedNeXt", {"norm_type": "os.system"}),
        ("MedNeXt", {"blocks_down": [10**6]}),
        ("RonnebergerUNet", {"norm": "os.system"}),
        ("TransUNet", {"num_layers": 10**6}),
        ("TransUNet", {"img_size": "os.system"}),
        ("os.system", {"command": "true"}),
        ("torch.nn.Linear", {}),
    ],
)
def test_an_argument_of_any_other_kind_is_refused(key, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        build(key, **BUILT.get(key, {}) | given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_downloaded_for_a_checkpoint_whatever_it_asks_for(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download")

    for module in ("resnet", "efficientnet"):
        monkeypatch.setattr(f"monai.networks.nets.{module}._load_state_dict", refuse)
    for pretrained in (True, "weights.pth", 1):
        for backbone in ("resnet10", "efficientnet-b0"):
            wanted = FLEXIBLE | {"backbone": backbone, "pretrained": pretrained}
            assert isinstance(build("FlexibleUNet", **wanted), FlexibleUNet)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("BasicUNet", {"features": [2048] * 6}),
        ("BasicUNet", {"features": [65536] * 6}),
        ("UNETR", {"hidden_size": 65535}),
        ("UNETR", {"img_size": 65536}),
        ("TransUNet", {"img_size": 65536}),
        ("RonnebergerUNet", {"features": [65536] * 5}),
        ("SegResNet", {"init_filters": 65536}),
        ("SegResNet", {"blocks_down": [64] * 32, "blocks_up": []}),
    ],
)
def test_a_network_larger_than_its_file_is_refused_before_it_takes_the_memory(key, given):
    with pytest.raises(InputError, match=r"of more than|more memory than there is"):
        build(key, 2**20, **BUILT[key] | given)


def test_a_network_of_too_many_parts_is_refused(monkeypatch):
    monkeypatch.setattr("segtrace.models.limits.MODULES", 50)
    with pytest.raises(InputError, match="a network of more than 50 parts"):
        build("UNet", **UNET)


def test_weights_are_counted_while_a_network_is_built_and_not_after():
    with pytest.raises(InputError, match="weights of more than 1 MiB"):
        build("BasicUNet", 1000, **BASIC)
    big = nn.Linear(1000, 1000)  # nobody counts any more
    assert big.weight.shape == (1000, 1000)


def test_whatever_a_class_raises_becomes_one_line():
    with pytest.raises(InputError, match=r"UNETR: hidden_size=13: hidden_size should be divis"):
        build("UNETR", **UNETR | {"hidden_size": 13})
    with pytest.raises(InputError, match=r"UNet: .*missing 5 required positional arguments"):
        build("UNet")
    with pytest.raises(InputError, match="AttentionUnet: list index out of"):
        build("AttentionUnet", **ATTENTION | {"strides": []})


class Warns(nn.Module):
    """Warns, and goes on to build itself only where it has channels."""

    def __init__(self, channels):
        super().__init__()
        warnings.warn("no weights" if channels else "no channels", stacklevel=2)
        self.weight = [1 / channels]


def test_a_build_that_is_refused_warns_of_nothing_beside_the_reason(recwarn):
    with pytest.raises(InputError, match=r"^here: division by zero$"):
        networks.called(Warns, {"channels": 0}, "here")
    assert not recwarn.list
    networks.called(Warns, {"channels": 1}, "here")
    assert [str(one.message) for one in recwarn.list] == ["no weights"]


@pytest.mark.parametrize(("name", "value"), [("features", None), ("features", 5), ("norm", "x")])
def test_an_argument_that_a_class_cannot_take_is_named(name, value):
    given = {"spatial_dims": 2, name: value}
    with pytest.raises(InputError, match=f"^here: {name}={value!r}: .*; it works without {name}$"):
        networks.called(nets.BasicUNet, given, "here")
