"""The trainer, the Lightning module and the settings that a configuration of ``train.py`` names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import DeviceStatsMonitor, LearningRateMonitor, ProgressBar
from pytorch_lightning.loggers import Logger
from torch import nn

from segtrace.activation import SOFTMAX
from segtrace.cli.train.resume.continuity import Continuity
from segtrace.cli.train.resume.run_config import settled
from segtrace.errors import InputError
from segtrace.tracking.explained import Settings, under
from segtrace.training.callbacks.baselines import KeepBaselines
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.callbacks.flow import FlowCallback
from segtrace.training.callbacks.soundness import Soundness
from segtrace.training.construction import build_trainer, construct, expect
from segtrace.training.module import SegmentationModule

Config = Mapping[str, Any]

FLOW = "segtrace.training.callbacks.flow.FlowCallback"
LOGGED = ("train/loss", "val/dice/mean")
"""What a callback can monitor: the metrics that the module logs through Lightning."""


def settings_of(config: Config) -> Settings:
    """What is explained, and how.

    Raises:
        InputError: unknown rules, region, score, …
    """
    chosen: Settings = construct("explain", config["explain"])
    return under(config["model"].get("activation", SOFTMAX), chosen)


def module_of(
    config: Config,
    net: nn.Module,
    organs: Mapping[str, int],
    description: Mapping[str, Any],
    inferer: Callable[..., Any] | None = None,
) -> SegmentationModule:
    """The Lightning module around a network.

    Raises:
        InputError: a value that it, the loss or the optimiser refuses.
    """
    node = {
        key: value
        for key, value in config["model"].items()
        if key not in ("net", "stages", "edges")
    }
    built = construct(
        "model", node, net=net, organs=dict(organs), description=description, inferer=inferer
    )
    expect("model", node, built, SegmentationModule)
    module: SegmentationModule = built
    return module


def trainer_of(config: Config, folder: Path, flow: Mapping[str, Any]) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of the configuration.

    Args:
        config: plain values.
        folder: of the run.
        flow: what the ``FlowCallback`` is given beside its options.

    Raises:
        InputError: a value that a constructor refuses; callbacks that cannot work with the rest.
    """
    loggers = _made(config, "logger", Logger, {})
    callbacks = _made(config, "callbacks", pl.Callback, flow)
    for where, callback in callbacks.items():
        check_monitor(where, callback)
        if isinstance(callback, LearningRateMonitor | DeviceStatsMonitor) and not loggers:
            raise InputError(f"{where} writes to a logger, and there is none; say {where}=null too")
    own = Continuity(settled(config, folder))
    return build_trainer(
        config["trainer"],
        callbacks=_in_order([own, *callbacks.values()], config["trainer"]),
        logger=list(loggers.values()),
        default_root_dir=str(folder),
    )


def _made(config: Config, group: str, kind: type, flow: Mapping[str, Any]) -> dict[str, Any]:
    """Place -> callback or logger."""
    found = {}
    for name, node in config[group].items():
        if node is not None:
            where = f"{group}.{name}"
            found[where] = construct(where, node, **(flow if node["_target_"] == FLOW else {}))
            expect(where, node, found[where], kind)
    return found


def _in_order(callbacks: list[pl.Callback], trainer: Mapping[str, Any]) -> list[pl.Callback]:
    if not trainer.get("enable_progress_bar", True):
        callbacks = [c for c in callbacks if not isinstance(c, ProgressBar)]
    # Weights are looked at before they are explained or kept. Explaining comes last, on those that
    # the checkpoint will hold; what it cuts with before. What is the best so far belongs to the
    # state that is kept.
    return sorted(
        callbacks,
        key=lambda c: (
            4 * isinstance(c, EpochCheckpoints)
            + 3 * isinstance(c, FlowCallback)
            + 2 * isinstance(c, KeepBaselines)
            - isinstance(c, Soundness)
        ),
    )


def flow_callbacks(trainer: pl.Trainer) -> list[FlowCallback]:
    """Those of the trainer that explain."""
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    return [callback for callback in callbacks if isinstance(callback, FlowCallback)]


def check_monitor(where: str, callback: pl.Callback) -> None:
    """Refuse a callback that would choose by the test cases, or by what nobody logs.

    Raises:
        InputError: it would.
    """
    monitor = getattr(callback, "monitor", None)
    if not isinstance(monitor, str) or monitor in LOGGED or monitor.startswith("lr-"):
        return
    if monitor.startswith("test"):
        raise InputError(
            f"{where}.monitor={monitor}: test cases are never used to choose anything; say "
            f"{where}.monitor=val/dice/mean {where}.mode=max"
        )
    if type(callback).__module__.startswith("pytorch_lightning"):
        raise InputError(
            f"{where}.monitor={monitor} is not logged; allowed are {', '.join(LOGGED)}"
        )


def check_unwatched(callbacks: Mapping[str, Any]) -> None:
    """Refuse what stops or chooses by validation cases that there are not.

    Args:
        callbacks: their configuration.

    Raises:
        InputError: there is such a callback.
    """
    for name, node in callbacks.items():
        monitor = str((node or {}).get("monitor", ""))
        if monitor.startswith("val/"):
            raise InputError(
                f"callbacks.{name}.monitor={monitor}, but no case is validated; say "
                f"callbacks.{name}=null, or name such cases, 'data.split={{train: […], val: […]}}'"
            )
