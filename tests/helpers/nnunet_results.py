"""A folder as nnU-Net leaves it, of the small twin of its network: no part of nnU-Net is needed."""

import copy
import json
import sys
from types import ModuleType

import numpy as np
import torch

from helpers.twins.nnunet import UNETS, PlainConvUNet

ORGANS = {"spleen": 1, "liver": 2}
PLANS = {
    "dataset_name": "Dataset001_X",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 50.0, "std": 40.0, "percentile_00_5": -100.0, "percentile_99_5": 200.0}
    },
    "configurations": {
        "2d": {
            "patch_size": [16, 24],
            "spacing": [2.0, 2.0],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {
                "is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None
            },
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {
                "is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None
            },
            "architecture": {
                "network_class_name": f"{UNETS}.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 4, "features_per_stage": [4, 6, 6, 8],
                    "conv_op": "torch.nn.modules.conv.Conv2d", "kernel_sizes": [[3, 3]] * 4,
                    "strides": [[1, 1], [2, 2], [2, 2], [2, 2]], "n_conv_per_stage": [1] * 4,
                    "n_conv_per_stage_decoder": [1] * 3, "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
                    "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None,
                    "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        },
        "inherits": {"inherits_from": "2d", "patch_size": [24, 24]},
    },
}  # fmt: skip
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, **ORGANS},
    "numTraining": 1,
    "file_ending": ".nii.gz",
}


class FromPlans(PlainConvUNet):
    """The twin, built as nnU-Net builds its class."""

    def __init__(self, input_channels, n_stages, features_per_stage, num_classes, **others):
        assert others["conv_op"] is torch.nn.Conv2d
        assert others["norm_op"] is torch.nn.InstanceNorm2d
        assert (input_channels, n_stages, others["deep_supervision"]) == (1, 4, False)
        super().__init__(features_per_stage, num_classes)


FromPlans.__module__, FromPlans.__qualname__, FromPlans.__name__ = (
    UNETS,
    "PlainConvUNet",
    "PlainConvUNet",
)


def install(monkeypatch):
    """Let the package of nnU-Net's networks be there."""
    module = ModuleType(UNETS)
    module.PlainConvUNet = FromPlans
    parts = UNETS.split(".")
    for end in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[0]))
    monkeypatch.setitem(sys.modules, UNETS, module)


def plans(**changed):
    """The plans, values of the 2-D configuration changed."""
    found = copy.deepcopy(PLANS)
    found["configurations"]["2d"] |= changed
    return found


def write(folder, planned=None, dataset=None, configuration="2d", **checkpoint):
    """``plans.json``, ``dataset.json`` and ``fold_0/checkpoint_final.pth`` with random weights."""
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(planned or PLANS))
    (folder / "dataset.json").write_text(json.dumps(dataset or DATASET))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = PlainConvUNet((4, 6, 6, 8), 3)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    saved = {
        "network_weights": net.state_dict(),
        "init_args": {"plans": planned or PLANS, "configuration": configuration, "fold": 0,
                      "device": torch.device("cpu")},
        "logging": {"mean_fg_dice": [np.float64(0.5)]}, "_best_ema": np.float32(0.5),
        "trainer_name": "nnUNetTrainer", "current_epoch": 1,
        "inference_allowed_mirroring_axes": (0, 1),
    }  # fmt: skip
    torch.save(saved | checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return net.eval()
