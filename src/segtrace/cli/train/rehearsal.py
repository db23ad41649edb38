"""All that a configuration names, made once with stand-ins, before any data is read."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segtrace.cli.schema import CHECKED
from segtrace.cli.train.assembly import Config, module_of, settings_of, trainer_of
from segtrace.training.construction import built, construct, expect

STEPS = 3
"""Of the stand-in's training, over which the whole schedule is run."""


def rehearse(config: Config, folder: Path) -> pl.Trainer:
    """Refuse what the run would only refuse when its data are prepared and its network is built.

    Returns:
        A trainer like that of the run.

    Raises:
        InputError: the value of an option that a constructor refuses, with the reason.
    """
    known = _known(config)
    settings_of(known)
    if known["model"]:
        module_of(known, nn.Identity(), {}, {})
        weights = _stand_ins(channels_last=known["model"].get("channels_last", True))
        check_optimisation(known["model"], weights, step=True)
    return trainer_of(known, folder, {})


def _stand_ins(*, channels_last: bool) -> list[nn.Parameter]:
    """Weights of the shapes and the memory format that a network has."""
    kernels = torch.ones(2, 2, 3, 3)
    if channels_last:
        kernels = kernels.contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(weights) for weights in (torch.ones(2), torch.ones(2, 2), kernels)]


def _known(config: Config) -> dict[str, Any]:
    """Without classes of the user's own, which are made once and for all, in their place."""
    kept = {group: {name: node for name, node in config[group].items() if _is_checked(node)}
            for group in ("callbacks", "logger")}  # fmt: skip
    model = {key: node for key, node in config["model"].items() if _is_checked(node)}
    return {**config, **kept, "model": model if _is_checked(config["model"]) else {}}


def _is_checked(node: Any) -> bool:
    """Whether a node names no class of the user's own."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        return True
    return str(node["_target_"]).split(".")[0] in CHECKED


def check_optimisation(
    model: Mapping[str, Any], weights: Iterable[nn.Parameter], *, step: bool = False
) -> None:
    """Make an optimiser of the weights, and its schedule, as the module will.

    Args:
        model: the configuration of the module.
        weights: that are trained; with ``step`` they are changed.
        step: take some steps too, for what is refused only then.

    Raises:
        InputError: the value that is refused.
    """
    weights = list(weights)
    if not isinstance(model.get("optimizer"), Mapping):
        return
    node = _called_now(model["optimizer"])

    def stepped(options: Mapping[str, Any]) -> Optimizer:
        made: Optimizer = construct("model.optimizer", options, weights)
        expect("model.optimizer", node, made, Optimizer)
        if step:
            _train(made, weights)
        return made

    optimizer = built("model.optimizer", node, stepped)
    if isinstance(model.get("scheduler"), Mapping):
        _check_schedule(_called_now(model["scheduler"]), optimizer)


def _check_schedule(node: Mapping[str, Any], optimizer: Optimizer) -> None:
    def run(options: Mapping[str, Any]) -> None:
        made: LRScheduler = construct("model.scheduler", options, optimizer, STEPS)
        expect("model.scheduler", node, made, LRScheduler)
        with warnings.catch_warnings():  # torch asks for a step of the optimiser before each
            warnings.simplefilter("ignore")
            for _ in range(STEPS):
                made.step()

    built("model.scheduler", node, run)


def _called_now(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "_partial_"}


def _train(optimizer: Optimizer, weights: list[nn.Parameter]) -> None:
    def loss() -> float:
        optimizer.zero_grad()
        found = torch.stack([(weight**2).sum() for weight in weights]).sum()
        found.backward()
        return found.item()

    optimizer.step(loss)
