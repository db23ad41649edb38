import copy

import pytest
import torch

from helpers import nnunet_results
from helpers.nnunet_results import DATASET, PLANS, plans
from segtrace import InputError
from segtrace.activation import SIGMOID, Organ
from segtrace.integrations.nnunet.network import described
from segtrace.integrations.nnunet.plans import Labels, Plans


def of(changed, configuration="2d"):
    return Plans.of(changed, configuration, "plans.json")


def test_a_configuration_is_read_with_what_it_inherits():
    found = of(PLANS, "inherits")
    assert found.patch == (24, 24)
    assert found.spacing == (2.0, 2.0)
    assert found.image.order == 3
    assert found.intensities[0]["percentile_99_5"] == 200


def changed_intensities(**values):
    found = copy.deepcopy(PLANS)
    found["foreground_intensity_properties_per_channel"]["0"] |= values
    return found


HOSTILE = [
    (PLANS, "3d", "no configuration '3d'; plans.json has 2d, inherits"),
    (PLANS | {"configurations": {"2d": {"inherits_from": "2d"}}}, "2d", "no configuration '2d'"),
    (plans(previous_stage="3d_lowres"), "2d", "second stage of a cascade"),
    (plans(patch_size=[1e9, 4]), "2d", "patch_size=.1000000000.0, 4."),
    (plans(patch_size=[60000, 60000]), "2d", "a window of 60000 x 60000 voxels"),
    (plans(patch_size="os"), "2d", "patch_size is 'os'; a list is needed"),
    (plans(spacing=[0, 1]), "2d", "spacing"),
    (plans(spacing=[1, 1, 1]), "2d", "do not fit"),
    (plans(normalization_schemes=["os.system"]), "2d", "no normalisation 'os.system'"),
    (plans(resampling_fn_data="os.system"), "2d", "no resampling 'os.system'"),
    (plans(architecture=None), "2d", "architecture is None; an object is needed"),
    (PLANS | {"image_reader_writer": "evil"}, "2d", "no reader 'evil'"),
    (PLANS | {"transpose_forward": [0, 0, 2]}, "2d", "transpose_forward"),
    (changed_intensities(mean=float("nan")), "2d", "mean=nan"),
    (changed_intensities(std="__import__"), "2d", "std"),
]


@pytest.mark.parametrize(("planned", "configuration", "words"), HOSTILE)
def test_plans_that_nnunet_does_not_write_are_refused_in_one_line(planned, configuration, words):
    with pytest.raises(InputError, match=words):
        of(planned, configuration)


def test_classes_are_looked_up_in_a_table_of_ours():
    name, arguments = described(of(PLANS).architecture, "plans.json")
    assert name == "PlainConvUNet"
    assert arguments["conv_op"] is torch.nn.Conv2d
    assert arguments["norm_op"] is torch.nn.InstanceNorm2d
    assert arguments["nonlin"] is torch.nn.LeakyReLU
    assert arguments["dropout_op"] is None


def before(**changed):
    """The same 2-D configuration as nnU-Net wrote it before 2.4."""
    found = copy.deepcopy(PLANS)
    own = found["configurations"]["2d"]
    arguments = own.pop("architecture")["arch_kwargs"]
    own |= {
        "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4,
        "unet_max_num_features": 8, "n_conv_per_stage_encoder": [1] * 4,
        "n_conv_per_stage_decoder": [1] * 3, "num_pool_per_axis": [3, 3],
        "pool_op_kernel_sizes": arguments["strides"], "conv_kernel_sizes": [[3, 3]] * 4,
    }  # fmt: skip
    own |= changed
    return found


def test_plans_from_before_2_4_describe_the_same_network():
    name, arguments = described(of(before()).architecture, "plans.json")
    _, today = described(of(PLANS).architecture, "plans.json")
    assert name == "PlainConvUNet"
    assert arguments == today | {"features_per_stage": [4, 8, 8, 8]}
    for changed, words in (
        ({"UNet_class_name": "os.system"}, "no network 'os.system'"),
        ({"UNet_base_num_features": 10**12}, "features in 4 stages"),
        ({"pool_op_kernel_sizes": "evil"}, "a list is needed"),
    ):
        with pytest.raises(InputError, match=words):
            of(before(**changed))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("conv_op", "os.system", "no conv_op 'os.system'"),
        ("conv_op", "evil.torch.nn.Conv2d", "no conv_op 'evil.torch.nn.Conv2d'"),
        ("norm_op", "torch.nn.Module", "no norm_op"),
        ("nonlin", ["torch.nn.ReLU"], "no nonlin"),
        ("norm_op_kwargs", {"device": "cuda"}, "no argument 'device'"),
        ("norm_op_kwargs", "evil", "options are needed"),
        ("features_per_stage", [10**9], "features_per_stage"),
        ("n_stages", "__import__('os')", "n_stages"),
        ("block", "evil.Block", "no argument 'block'"),
    ],
)
def test_layers_outside_the_table_are_refused_and_never_imported(name, value, words):
    architecture = copy.deepcopy(PLANS["configurations"]["2d"]["architecture"])
    architecture["arch_kwargs"][name] = value
    with pytest.raises(InputError, match=words):
        described(architecture, "plans.json")
    architecture["network_class_name"] = "os.system"
    with pytest.raises(InputError, match=r"no network 'os.system'"):
        described(architecture, "plans.json")


def test_a_network_larger_than_its_weights_warrant_is_not_built(monkeypatch, tmp_path):
    nnunet_results.install(monkeypatch)
    from segtrace.integrations.nnunet.network import build

    planned = copy.deepcopy(PLANS)
    arguments = planned["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4, 6, 6, 60000]
    with pytest.raises(InputError, match="which the file does not hold"):
        build(of(planned), 3, {"a": torch.zeros(8)}, "plans.json")


def test_without_the_package_of_its_networks_it_is_said_what_to_install():
    from segtrace.integrations.nnunet.network import build

    with pytest.raises(InputError, match=r"pip install 'segtrace\[nnunet\]'"):
        build(of(PLANS), 3, {}, "plans.json")


def test_labels_are_channels_and_regions_are_masks():
    found = Labels.of(DATASET, "dataset.json")
    assert found.organs == {"spleen": Organ(1, 1), "liver": Organ(2, 2)}
    assert found.heads == 3
    regions = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    found = Labels.of({"labels": regions, "regions_class_order": [1, 2]}, "dataset.json")
    assert found.activation == SIGMOID
    assert found.regions == ((1, 2), (2,))
    assert found.organs == {"whole": Organ(0, 1), "core": Organ(1, 2)}


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({}, "labels is missing"),
        ({"labels": {"background": 0}}, "no label but the background"),
        ({"labels": {"background": 0, "a": 2}}, "do not count up"),
        ({"labels": {"background": 0, "a": "1"}}, "give whole numbers"),
        ({"labels": {"background": 0, "a": [1, 2]}}, "regions_class_order is missing"),
        ({"labels": {"background": 0, "a": [1], "b": 2}, "regions_class_order": [1]}, "2 regions"),
    ],
)
def test_labels_that_cannot_be_are_refused(dataset, words):
    with pytest.raises(InputError, match=words):
        Labels.of(dataset, "dataset.json")
