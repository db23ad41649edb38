"""A bundle in the shape of MONAI's own: spleen (UNet), whole body (SegResNet), BTCV (SwinUNETR)."""

import json

import torch
import yaml
from monai.networks import nets

INFERENCE = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "image_key": "image",
    "output_dir": "$@bundle_root + '/eval'",
    "displayable_configs": {"sw_overlap": 0.25, "spacing": [5.0, 5.0, 6.0]},
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {
        "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
        "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1, "norm": "batch",
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": ["image"], "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": "@displayable_configs#spacing",
             "mode": "bilinear"},
            {"_target_": "monai.transforms.ScaleIntensityRanged", "keys": "image", "a_min": -57,
             "a_max": 164, "b_min": 0, "b_max": 1, "clip": True},
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "inferer": {
        "_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "sw_batch_size": 4,
        "overlap": "@displayable_configs#sw_overlap",
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        ],
    },
    "initialize": ["$monai.utils.set_determinism(seed=123)"],
    "run": ["$@evaluator.run()"],
}  # fmt: skip
METADATA = {
    "version": "0.2.0",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [8, 8, 8]}},
        "outputs": {
            "pred": {"channel_def": {"0": "background", "1": "spleen", "2": "liver"}},
        },
    },
}


def write(folder, inference=None, metadata=None, *, as_yaml=False, wrapped=True):
    """The folder, with random weights; the network."""
    inference = inference or INFERENCE
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    name, written = ("yaml", yaml.safe_dump) if as_yaml else ("json", json.dumps)
    (folder / "configs" / f"inference.{name}").write_text(written(inference))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata or METADATA))
    node = inference["network_def"]
    arguments = {k: v for k, v in node.items() if k not in ("_target_", "img_size")}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = getattr(nets, node["_target_"].rpartition(".")[2])(**arguments)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    state = net.state_dict()
    torch.save({"model": state} if wrapped else state, folder / "models" / "model.pt")
    return net.eval()


def changed(**parts):
    """The configuration with other values under some keys."""
    return INFERENCE | parts
