"""The end of a run: how good the network is, where all lies, and what to do next."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.start_up import called
from segtrace.cli.train.assembly import flow_callbacks, settings_of
from segtrace.cli.train.resume.continuity import ended_early
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.datamodule import CaseDataModule
from segtrace.names import CONFIG
from segtrace.progress import say
from segtrace.report.tables import save_table
from segtrace.tracking.cut_tables import report
from segtrace.training.callbacks.best import BEST, BestCheckpoint
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.either_lightning import tensorboard_writer
from segtrace.training.epochs import finished_epochs
from segtrace.training.module import SegmentationModule


def score(
    plan: TrainConfig, data: CaseDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Count the cases that the summary is about, with the weights that the training has left.

    The validation cases once more only where their last validation saw other weights; with
    ``test=true`` the test cases too. A run that had finished all epochs and nothing more gets its
    end made up, without another point in its log.
    """
    over = plan.left is not None and finished_epochs(trainer) == plan.left.epoch
    for callback in flow_callbacks(trainer) if over else ():
        callback.make_up_end(trainer)
    # What the first process knows decides for all: only together can they count.
    known = trainer.strategy.broadcast(module.validated is not None)
    if not known and trainer.limit_val_batches != 0 and data.split["val"]:
        with _loggers_of(trainer, none=over):
            trainer.validate(module, data, verbose=False)
    if plan.protocols:
        trainer.test(module, data, verbose=False)


@contextmanager
def _loggers_of(trainer: pl.Trainer, none: bool) -> Iterator[None]:
    """Inside the block the trainer has its loggers, or none."""
    loggers = trainer.loggers
    trainer.loggers = [] if none else loggers
    try:
        yield
    finally:
        trainer.loggers = loggers


def test(
    plan: TrainConfig, data: CaseDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """With ``test=true`` the test cases as whole volumes, at the files' own size: ``test/``."""
    if plan.protocols and trainer.is_global_zero:
        # Here: the page and all evaluation, which no step waits for.
        from segtrace.cli.train.tested import score_whole_cases

        settings = settings_of(plan.config)
        for found in score_whole_cases(
            plan.folder, data, module, trainer, settings, plan.protocols
        ):
            means = {row["organ"]: row["dice_mean"] for row in found.summary}
            where = f"by {found.protocol.name} ({plan.folder / found.within})"
            _tell_dice(f"test cases, whole and at their own size, {where}", means)


def summarise(plan: TrainConfig, module: SegmentationModule, trainer: pl.Trainer) -> None:
    """Where the run lies, how good the network is, and what to do next."""
    if not trainer.is_global_zero:
        return
    for name, found in (("dice.csv", module.counted), ("dice_test.csv", module.tested)):
        if found is not None:
            save_table(plan.folder / name, found.table())
    if (words := ended_early(trainer)) is not None:
        print(f"\n{words}")
    if module.counted is not None:
        _tell_dice("validation cases", module.counted.per_organ())
    _tell_cuts(trainer)
    print(f"\nRun        {plan.folder}")
    if tensorboard_writer(trainer) is not None:
        print(f"Look       {_tensorboard(plan.folder)}")
    last = last_checkpoint(trainer)
    if last is not None:
        network = module.description.get("network", {})
        print(f"Explain    {called('explain')} {checkpoint.named(last, network)}")
        _tell_best(trainer, network)
    shown = [c.overview for c in flow_callbacks(trainer) if c.overview is not None]
    made = [*shown, plan.folder / "dice.csv", plan.folder / CONFIG]
    if opened := [path for path in made if path.is_file()]:
        say(f"Done: open {opened[0]}")


def _tell_dice(whose: str, means: Mapping[str, float]) -> None:
    width = max(map(len, means))
    print(f"\nDice of the {whose}")
    for name, value in means.items():
        print(f"  {name:<{width}}  {value:.3f}")


def _tell_cuts(trainer: pl.Trainer) -> None:
    """What each organ loses most by, where the network was cut."""
    for callback in flow_callbacks(trainer):
        if callback.cuts is not None:
            report(callback.cuts)


def _tell_best(trainer: pl.Trainer, network: Mapping[str, Any]) -> None:
    """What explains the best epoch, where it is kept."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, BestCheckpoint) and callback.epoch:
            explain = checkpoint.named(callback.folder / BEST, network)
            print(
                f"Best       epoch {callback.epoch}, {callback.monitor} {callback.dice:.3f}: "
                f"{called('explain')} {explain}"
            )


def _tensorboard(folder: Path) -> str:
    """What opens TensorBoard; a Makefile lies in a checkout alone."""
    if called("train").startswith("python"):
        return f"make tensorboard RUN={folder}"
    return f"tensorboard --logdir {folder} --samples_per_plugin images=1000,text=1000"


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The file with the weights that the training has left; ``None`` where none was kept."""
    name = f"epoch_{finished_epochs(trainer):03d}.ckpt"
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, EpochCheckpoints) and (callback.folder / name).is_file():
            return callback.folder / name
    return None
