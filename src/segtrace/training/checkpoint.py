"""Checkpoints that describe themselves: what they hold, how they are written and read."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from torch import nn

from segtrace.errors import InputError

DESCRIPTION = "segtrace"
"""The key under which a checkpoint describes itself, in plain values and tensors."""


def finished_epochs(trainer: pl.Trainer) -> int:
    """Finished passes over the training slices: 0 is the untrained network.

    Validation inside ``fit`` closes a pass that Lightning has not counted yet, if no batch of the
    pass follows; in the middle of a pass it does not.
    """
    finished = getattr(trainer.fit_loop.epoch_progress.current, "processed")  # noqa: B009 (untyped)
    # Compared by value: Lightning exists under two names, each with states of its own.
    closing = trainer.state.fn == "fit" and trainer.validating and _ends_pass(trainer)
    return int(finished + closing)


def is_final(trainer: pl.Trainer) -> bool:
    """Whether no epoch follows, as far as is known now: a callback may still stop the training.

    Asked at the end of a pass; the limits are those by which Lightning ends its loop.
    """
    passes = _reached(finished_epochs(trainer), trainer.max_epochs)
    # After a SIGTERM Lightning leaves its loop at the end of the pass.
    told = _stops(trainer) or trainer.received_sigterm
    return passes or _steps_are_done(trainer) or told


def _ends_pass(trainer: pl.Trainer) -> bool:
    progress = trainer.fit_loop.epoch_loop.batch_progress
    read = progress.is_last_batch or progress.current.ready == trainer.num_training_batches
    return read or _steps_are_done(trainer) or _stops(trainer)


def _steps_are_done(trainer: pl.Trainer) -> bool:
    return _reached(trainer.global_step, trainer.max_steps)


def _stops(trainer: pl.Trainer) -> bool:
    """Somebody asked to stop, and the least that was wanted is done."""
    passes = getattr(trainer.fit_loop.epoch_progress.current, "processed")  # noqa: B009 (untyped)
    least = passes >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return trainer.should_stop and least


def _reached(count: int, limit: int | None) -> bool:
    """-1 and ``None`` are no limit."""
    return limit is not None and limit != -1 and count >= limit


@dataclass(frozen=True)
class Checkpoint:
    """A network and all that is needed to repeat its explanation.

    Attributes:
        net: the network with its weights, in evaluation mode and in its memory format.
        description: see ``SegmentationModule``: network, stages, organs, preprocessing, probes,
            explain, epoch, …
        path: the file.
    """

    net: nn.Module
    description: Mapping[str, Any]
    path: Path

    @property
    def epoch(self) -> int:
        """Finished passes."""
        return int(self.description["epoch"])


def load(path: Path) -> Checkpoint:
    """Read a checkpoint that ``train.py`` wrote. Nothing in the file is executed.

    Raises:
        InputError: a file that is missing, damaged, foreign, or holds code instead of values;
            weights that do not fit the network described.
    """
    saved = read(path)
    description = _description(saved, path)
    net = build(description["network"], f"{path}: network")
    if description["memory_format"] == "channels_last":
        net = in_channels_last(net)
    weights = {
        name.removeprefix("net."): tensor
        for name, tensor in saved["state_dict"].items()
        if name.startswith("net.")
    }
    fill(net, weights, path)
    return Checkpoint(net.eval(), description, path)


def describe(path: Path) -> Mapping[str, Any]:
    """What a checkpoint says of itself; its tensors stay on the disk until they are used.

    Raises:
        InputError: see :func:`load`.
    """
    return _description(read(path, mmap=True), path)


def _description(saved: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    description = saved.get(DESCRIPTION)
    if not isinstance(description, Mapping):
        raise InputError(
            f"{path} is no checkpoint of train.py (it does not describe its network); for a "
            "network of your own give net=module:builder weights=… stages=…"
        )
    return description


def in_channels_last(net: nn.Module) -> nn.Module:
    """The network with its 2-D weights laid out for channels-last convolutions."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return net


def read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """The contents of a file that ``torch.save`` wrote, values and tensors only.

    Args:
        path: the file.
        mmap: leave tensors on the disk until they are used.

    Raises:
        InputError: missing, damaged, or holding code.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name a file in it") from None
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it is damaged or holds code, not only values and tensors "
            f"({_first_line(error)})"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}") from error
    if not isinstance(saved, dict):
        raise InputError(f"{path} holds a {type(saved).__name__}; a dict of tensors is needed")
    return saved


def build(recipe: Mapping[str, Any], where: str = "model.net") -> nn.Module:
    """The network a recipe describes: ``_target_``, a class, and its arguments, plain values.

    A recipe may come out of a file of unknown origin, so only a network class is called.

    Raises:
        InputError: no such class, no network class, or arguments it does not take.
    """
    target = str(recipe.get("_target_"))
    try:
        cls = get_object(target)
    except (HydraException, ImportError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: cannot import {target!r}: {_first_line(error)}") from error
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise InputError(f"{where}: {target!r} is no network; a subclass of nn.Module is needed")
    if _has_nested_target(list(recipe.values())):
        raise InputError(f"{where}: the arguments of {target} must be plain values")
    try:
        net: nn.Module = instantiate(dict(recipe), _convert_="all")
    except HydraException as error:
        raise InputError(f"{where}: {target}: {_first_line(error.__cause__ or error)}") from error
    return net


def fill(net: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Load the weights, all of them.

    Raises:
        InputError: names missing, left over, or of another shape; the first few are listed.
    """
    own = net.state_dict()
    misfits = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [
            name for name in own if name in weights and own[name].shape != weights[name].shape
        ],
    }
    found = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in misfits.items()
        if names
    ]
    if found:
        raise InputError(f"{path} does not fit {type(net).__name__}: {'; '.join(found)}")
    net.load_state_dict(dict(weights))


def _has_nested_target(value: object) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or _has_nested_target(list(value.values()))
    return isinstance(value, list | tuple) and any(_has_nested_target(item) for item in value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
