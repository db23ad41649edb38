"""What a run that goes on has to be: the same training on the same data, in the same steps."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.types import LRSchedulerConfig
from torch.optim import Optimizer

from segtrace.cli.train.resume.broken_off import Left
from segtrace.cli.train.resume.run_config import may_change
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.fingerprint import fingerprints
from segtrace.errors import InputError
from segtrace.names import CONFIG
from segtrace.progress import say
from segtrace.training.construction import in_yaml
from segtrace.training.epochs import finished_epochs
from segtrace.training.module import SegmentationModule


class Continuity(pl.Callback):
    """Keep in every full checkpoint what tells its run from others, and how long it was to be.

    Where a training is resumed with another length, its schedule is planned anew over all steps,
    as if it had been that long from the beginning, and goes on at its place.

    Args:
        configuration: path -> value of all options that must not change.
    """

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self.configuration = configuration
        self.cases: dict[str, str] = {}
        self.steps: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the data, and at the number of steps."""
        data = getattr(trainer, "datamodule")  # noqa: B009 (untyped in Lightning)
        if trainer.is_global_zero and isinstance(data, CaseDataModule):
            self.cases = cases_of(data)
        steps = planned_steps(trainer)
        if self.steps not in (None, steps) and isinstance(pl_module, SegmentationModule):
            self._plan_anew(trainer, pl_module, steps)
        self.steps = steps
        if (words := ended_early(trainer)) is not None:  # by the state that was just restored
            trainer.should_stop = True
            if trainer.is_global_zero:
                say(f"{words} Nothing more is trained.")

    def _plan_anew(self, trainer: pl.Trainer, module: SegmentationModule, steps: int) -> None:
        for config in trainer.lr_scheduler_configs:
            plan_anew(module, trainer.optimizers[0], config, steps, _done(trainer, steps))
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            say(
                f"The schedule now has {steps} steps instead of {self.steps}: the learning rate "
                f"goes on at {rate:.3g}."
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"configuration": dict(self.configuration), "cases": self.cases, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Only the steps: the rest was compared before."""
        self.steps = state_dict["steps"]


def ended_early(trainer: pl.Trainer) -> str | None:
    """Why early stopping has ended the training, in a sentence; ``None`` where it has not."""
    for callback in trainer.early_stopping_callbacks:
        if callback.stopped_epoch or callback.wait_count >= max(1, callback.patience):
            return (
                f"Early stopping ended the training after epoch {callback.stopped_epoch + 1}: "
                f"{callback.monitor} did not improve by {abs(callback.min_delta):g} or more in "
                f"{callback.wait_count} validations."
            )
    return None


def cases_of(data: CaseDataModule) -> dict[str, str]:
    """``train/0005`` -> a hash of its files, of all cases that a training looks at."""
    parts = {part: fingerprints(data.source, data.split[part]) for part in ("train", "val")}
    return {f"{part}/{case}": key for part, found in parts.items() for case, key in found.items()}


def check_same(
    left: Left, configuration: Mapping[str, Any], data: CaseDataModule, folder: Path
) -> None:
    """Hold a full checkpoint against the training that is to go on from it.

    Args:
        left: the checkpoint.
        configuration: of the run, what must not change.
        data: the data as they are now.
        folder: of the run, for the message.

    Raises:
        InputError: it was written with other options, or with other patients.
    """
    if left.identity is None:  # of a version that did not keep it
        return
    _check_options(configuration, left.identity.get("configuration", {}), left.path, folder)
    now, then = cases_of(data), left.identity.get("cases", {})
    for key in sorted({*now, *then}):
        if now.get(key) != then.get(key):
            part, case = key.split("/", 1)
            raise InputError(
                f"{folder} was trained with other data: {part} case {case} "
                f"{_difference(now.get(key), then.get(key))}; give the run's own data with "
                "data.root=…, or begin another run in another folder"
            )


def _check_options(
    now: Mapping[str, Any], then: Mapping[str, Any], path: Path, folder: Path
) -> None:
    for option in sorted({*now, *then}):
        if now.get(option) != then.get(option) and not may_change(option):
            raise InputError(
                f"{folder / CONFIG} says {option}={in_yaml(now.get(option))}, and {path.name} was "
                f"trained with {in_yaml(then.get(option))}: one was changed, or is another run's; "
                "put the right one back, or begin another run in another folder"
            )


def _difference(now: str | None, then: str | None) -> str:
    if then is None:
        return "was not there"
    return "is not there any more" if now is None else "has other files now"


def planned_steps(trainer: pl.Trainer) -> int:
    """Optimiser steps of the whole training; 0 where it has no end."""
    steps = trainer.estimated_stepping_batches
    return int(steps) if steps != float("inf") else 0


def _done(trainer: pl.Trainer, steps: int) -> int:
    """Steps of the new plan that lie behind: counted in epochs, which may have other numbers."""
    if trainer.max_epochs in (None, -1) or trainer.max_steps != -1:
        return trainer.global_step
    return round(steps * finished_epochs(trainer) / (trainer.max_epochs or 1))


def plan_anew(
    module: SegmentationModule,
    optimizer: Optimizer,
    config: LRSchedulerConfig,
    steps: int,
    done: int,
) -> None:
    """Give a schedule the state that it would have as one of so many steps.

    Args:
        module: makes an optimiser and a schedule, as it did for the training.
        optimizer: whose rates are set.
        config: the schedule that is restored.
        steps: of the new plan.
        done: of them, those that lie behind.
    """
    fresh = module.optimizer(module.parameters())
    if module.scheduler is None or not steps:
        return
    planned = module.scheduler(fresh, steps)
    with warnings.catch_warnings():  # torch asks for a step of the optimiser before each
        warnings.simplefilter("ignore")
        for _ in range(done):
            planned.step()
    config.scheduler.load_state_dict(planned.state_dict())
    for group, new in zip(optimizer.param_groups, fresh.param_groups, strict=True):
        group.update({key: value for key, value in new.items() if key != "params"})
