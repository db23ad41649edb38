"""The network of a run, built once and held against the data before any of them is prepared."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.activation import SOFTMAX
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.train.assembly import settings_of
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.errors import unknown, warned_if_done
from segtrace.network.guards import PROPOSED
from segtrace.network.stages import known
from segtrace.network.stages import resolve as stages_of
from segtrace.tracking.edges import named_edges
from segtrace.tracking.explained import check_chosen, chosen_organs
from segtrace.training.slices.fitting_input import ENOUGH, INPUTS, Fitting

TRIED = (64, 64, 64)
"""Voxels of a volume that is sent where the data's size is not known, and options differ."""


@warned_if_done()
def network(plan: TrainConfig, data: CaseDataModule) -> nn.Module:
    """The network, with weights drawn on the global generator as it stands.

    Args:
        plan: what is asked.
        data: the data, of which nothing is prepared yet.

    Raises:
        InputError: a network that cannot be built, that lacks a stage or an edge, or which does
            not take what the data give, as far as that is known before they are prepared.
    """
    model, chosen = plan.config["model"], settings_of(plan.config)
    chosen_organs(data.organs, chosen.organs)
    recipe, stages, edges = recipe_of(plan, data), model.get("stages"), model.get("edges")
    net = checkpoint.build(recipe)
    image = blank(data)
    channels = data.view_asked.preprocessing.channels
    sent = torch.zeros(1, channels, *TRIED) if image is None else image
    fitting = Fitting(net, sent, channels_of(plan, data), recipe, data.batch_size)
    if image is not None or fitting.other_option is not None:
        fitting.check()
    if stages == PROPOSED:
        return net
    places = stages_of(net, stages)
    check_chosen(chosen, data.organs, [stage.name for stage in places])
    if edges not in (None, PROPOSED) and image is not None:
        plain = {stage.name: stage.to_plain() for stage in places}
        found = named_edges(net, plain, edges, image.shape[2:], image.shape[1])
        there = dict.fromkeys([*plain, *(stage.name for stage in known(net))])
        for name, edge in found.items():
            if edge["stage"] not in there:
                raise unknown("stage", edge["stage"], there, f"edge {name!r}: this network")
    return net


def check_fits(
    plan: TrainConfig, data: CaseDataModule, net: nn.Module, image: Tensor
) -> Mapping[str, Any]:
    """Hold the network against what only the prepared data say: a patch, the smallest batch.

    Args:
        plan: what is asked.
        data: prepared.
        net: as :func:`network` built it.
        image: (1, C, *image) as the data give it.

    Returns:
        Class and arguments of the network.

    Raises:
        InputError: it does not take that.
    """
    recipe = recipe_of(plan, data)
    smallest = min(data.smallest_batch, ENOUGH)
    if blank(data) is None or smallest < min(data.batch_size, ENOUGH):
        Fitting(net, image, channels_of(plan, data), recipe, smallest).check()
    return recipe


def recipe_of(plan: TrainConfig, data: CaseDataModule) -> dict[str, Any]:
    """Class and arguments of the network, with the channels that the data ask for."""
    recipe = dict(plan.config["model"]["net"])
    if "out_channels" in recipe and recipe["out_channels"] is None:
        recipe["out_channels"] = channels_of(plan, data)
    for name in INPUTS:  # 1 is what the files of networks say, and not what was asked for
        if recipe.get(name, 0) in (None, 1):
            recipe[name] = data.view_asked.preprocessing.channels
    return recipe


def channels_of(plan: TrainConfig, data: CaseDataModule) -> int:
    """Of the logits: the organs, and behind a softmax the background."""
    return len(data.organs) + (settings_of(plan.config).activation == SOFTMAX)


def blank(data: CaseDataModule) -> Tensor | None:
    """(1, C, *image) an empty image as the data will give it; ``None`` where that is not known."""
    preprocessing = data.view_asked.preprocessing
    if isinstance(preprocessing, VolumePreprocessing) and preprocessing.patch is None:
        return None
    return torch.zeros(1, preprocessing.channels, *preprocessing.input_shape)
