"""What ``train.py`` does before it trains, step by step: a configuration becomes a run."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from torch import Tensor, nn

from segtrace.axes import are_volumes
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.train.assembly import (
    check_unwatched,
    flow_callbacks,
    module_of,
    settings_of,
    trainer_of,
)
from segtrace.cli.train.network import check_fits, network
from segtrace.cli.train.rehearsal import check_optimisation
from segtrace.cli.train.resume.broken_off import Left
from segtrace.cli.train.resume.continuity import check_same
from segtrace.cli.train.resume.run_config import settled
from segtrace.cli.train.together import together
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.probes import Probes
from segtrace.data.views.slices import SliceView
from segtrace.data.volumes.view import VolumeView
from segtrace.errors import InputError, printable
from segtrace.evaluation.prediction import check_protocol
from segtrace.evaluation.protocols import protocol_of
from segtrace.evaluation.sliding import inferer_of
from segtrace.network.stages import resolve as stages_of
from segtrace.network.undisturbed import unchanged_generators
from segtrace.progress import is_first, say
from segtrace.report.files import check_writable, environment, version_of
from segtrace.report.logs import Reached, rewind, rewind_table, spared
from segtrace.report.tensorboard import add_hyperparameters
from segtrace.tracking.edges import chosen_places, named_edges
from segtrace.tracking.explained import check_chosen
from segtrace.tracking.writer import last_shown
from segtrace.training.construction import construct, expect, in_yaml
from segtrace.training.either_lightning import tensorboard_writer
from segtrace.training.epochs import batches_of_pass, planned_epochs
from segtrace.training.module import SegmentationModule
from segtrace.training.slices.compiling import check_compiles

__all__ = [
    "data", "module", "network", "note_hyperparameters", "prepare", "take_up", "trainer",
]  # fmt: skip

TOLD_BY = {"WandbLogger": "id", "MLFlowLogger": "run_id"}
"""Logger -> the option that names one of its runs."""
TRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
"""MLflow's variable; its own number is seven, for minutes and without a word."""


def data(plan: TrainConfig) -> CaseDataModule:
    """The data module; nothing of it is prepared, generated or unpacked.

    Raises:
        InputError: options that cannot be; a protocol that is not of such data.
    """
    node = plan.config["data"]
    module: CaseDataModule = construct("data", node)
    expect("data", node, module, CaseDataModule)
    for protocol in map(protocol_of, plan.protocols):
        check_protocol(module.view_asked.preprocessing, protocol)
    return module


@unchanged_generators()
def prepare(plan: TrainConfig, data: CaseDataModule) -> Probes:
    """Prepare the slices that are trained on, and give those that are looked at every epoch.

    Raises:
        InputError: data that cannot be read; test cases that are asked for and are not there, or
            cases to validate on that a callback watches.
    """
    _check_parts(plan, data)
    _tell_letter(plan, data)
    if plan.protocols:  # a test case that cannot be read is told now, and not when all is trained
        data.gather("train", "val", "test")
    data.setup("fit")
    return data.probes(plan.config["probes"]["n"], plan.config["probes"]["from"])


def _check_parts(plan: TrainConfig, data: CaseDataModule) -> None:
    """The split has the cases that are asked for, which is known once the data are there."""
    if plan.protocols and not data.split.get("test"):
        raise InputError(
            f"test={in_yaml(plan.config['test'])}, but the split has no test cases; name some, "
            "'data.split={train: […], val: […], test: […]}', or say test=false"
        )
    if not data.split.get("val") or plan.config["trainer"].get("limit_val_batches") == 0:
        check_unwatched(plan.config["callbacks"])


def _tell_letter(plan: TrainConfig, data: CaseDataModule) -> None:
    """What sets the run apart from the published protocol, before minutes of preparation."""
    letter = plan.letter
    if letter and (found := letter.differences(plan.config, data.split, data.source)):
        say("What differs from the published protocol:")
        for difference in found:
            say(f"- {difference}")


def module(
    plan: TrainConfig, data: CaseDataModule, probes: Probes, net: nn.Module
) -> SegmentationModule:
    """The Lightning module around the network, with a description of itself for its checkpoints.

    Raises:
        InputError: a network that does not take the prepared slices, or whose places cannot be
            proposed; a value that the optimiser refuses.
    """
    model, chosen = plan.config["model"], settings_of(plan.config)
    image = probes.images[:1]  # as the data give it, whatever the network was made for
    recipe = check_fits(plan, data, net, image)
    places, joins = chosen_places(net, image, model.get("stages"), model.get("edges"))
    stages = {stage.name: stage.to_plain() for stage in stages_of(net, places)}
    check_chosen(chosen, data.organs, stages)
    edges = named_edges(net, stages, joins, image.shape[2:], image.shape[1])
    check_optimisation(model, net.parameters())
    description = {
        "version": version_of("segtrace") or "unknown",
        "network": checkpoint.recorded(recipe, net),
        "stages": stages,
        "edges": edges,
        "organs": dict(data.organs),
        "preprocessing": data.preprocessing,
        "source": {"name": type(data.source).__name__, "settings": data.source.settings()},
        "probes": probes.to_plain(embed=plan.config["probes"]["embed"]),
        "cases": data.whole_cases(probes.cases, probes.split),
        "split": {part: list(names) for part, names in data.split.items()},
        "explain": chosen.to_plain(),
        "cut_every": plan.cut_every,
        "memory_format": "channels_last" if _channels_last(model, image) else "contiguous",
        "environment": environment(),
    }
    return module_of(
        plan.config, net, data.organs, description, inferer_of(data.view.preprocessing)
    )


def _channels_last(model: Mapping[str, Any], image: Tensor) -> bool:
    """Of slices alone: volumes have another such format, which is not taken."""
    return bool(model.get("channels_last", True)) and not are_volumes(image)


def trainer(plan: TrainConfig, module: SegmentationModule, probes: Probes) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of the configuration.

    Raises:
        InputError: a value that a constructor refuses; a folder that cannot be written; a network
            that cannot be compiled and is to be.
    """
    built = trainer_of(
        plan.config,
        plan.folder,
        flow={
            "stages": module.description["stages"],
            "edges": module.description["edges"],
            "probes": probes,
            "settings": settings_of(plan.config),
        },
    )
    together(built)
    for logger in built.loggers:
        if isinstance(logger, TensorBoardLogger):
            check_writable(logger.log_dir)
        elif is_first():
            _begin(logger, goes_on=plan.left is not None)
    if plan.config["model"].get("compile"):
        say("The network is compiled, which may take some minutes.")
        usual = VolumeView if are_volumes(probes.images) else SliceView
        batch_size = plan.config["data"]["batch_size"] or usual.usual_batch
        batch = probes.images[:1].repeat_interleave(batch_size, 0)
        check_compiles(module.net, batch, built.strategy.root_device)
    return built


def _begin(logger: Logger, *, goes_on: bool = False) -> None:
    """Let a logger reach its server, or log in, now: it would do so at the first point.

    Lightning's table of a run that goes on is kept, which it would delete, see :func:`take_up`.
    """
    if isinstance(logger, CSVLogger) and goes_on:
        with spared(_table_of(logger)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will be deleted
            logger.experiment  # noqa: B018
        return
    own = os.environ.get(TRIES)
    os.environ[TRIES] = own or "1"
    try:
        getattr(logger, "experiment")  # noqa: B009 (begins the run; untyped in Lightning)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{type(logger).__name__} cannot begin: {printable(reason, 300)}; mend that, or say "
            "logger=tensorboard"
        ) from error
    finally:
        if own is None:
            del os.environ[TRIES]


def _table_of(logger: CSVLogger) -> Path:
    return Path(logger.log_dir) / ExperimentWriter.NAME_METRICS_FILE


def take_up(
    plan: TrainConfig, data: CaseDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Hold a run that goes on against what it was, and rewind its log to there.

    Raises:
        InputError: it was trained with other options, on other data, or it is another network.
    """
    if plan.left is None:
        plan.keep()
        return
    check_same(plan.left, settled(plan.config, plan.folder), data, plan.folder)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if other := sorted(dict(plan.left.shapes.items() ^ shapes.items())):
        raise InputError(
            f"{plan.left.path} is of another network ({len(other)} weights differ, as "
            f"{other[0]}); begin another run in another folder"
        )
    plan.keep()
    if is_first():
        anew = ("test/",) if plan.protocols else ()
        epochs = planned_epochs(trainer, batches_of_pass(trainer, data))
        drawn = _last_shown(plan.left, epochs, trainer)
        _tell_other_runs(plan.config["logger"], plan.left.epoch)
        reached = Reached(plan.left.epoch, plan.left.batches, anew, drawn)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                rewind(Path(logger.log_dir), reached)
            elif isinstance(logger, CSVLogger):
                begins = f"{logger._prefix}{logger.LOGGER_JOIN_CHAR}" if logger._prefix else ""
                columns = rewind_table(_table_of(logger), reached, begins)
                logger.experiment.metrics_keys[:] = columns


def _tell_other_runs(loggers: Mapping[str, Any], epoch: int) -> None:
    """Some loggers do not know which run of theirs goes on, unless they are told.

    Args:
        loggers: their configuration.
        epoch: the last that was finished.
    """
    for name, node in loggers.items():
        option = TOLD_BY.get(str((node or {}).get("_target_")).rsplit(".", 1)[-1])
        if option is not None and node.get(option) is None:
            say(
                f"logger.{name} begins another run, with what follows epoch {epoch}, beside the "
                "one that was broken off; the files of the run have all epochs."
            )


def _last_shown(left: Left, epochs: int | None, trainer: pl.Trainer) -> dict[str, int]:
    """How tags begin -> their last epoch, without what was drawn as the end of a training.

    Nothing where it is the end: nobody draws that once more. ``epochs``: the most there may be.
    """
    goes_on = epochs is None or epochs > left.epoch
    return last_shown(left.reached) if goes_on and left.reached and flow_callbacks(trainer) else {}


def note_hyperparameters(plan: TrainConfig, trainer: pl.Trainer) -> None:
    """Fill the hyper-parameters page of TensorBoard, beside ``val/dice/mean``; once a run."""
    if trainer.is_global_zero and not plan.resume:
        writer = tensorboard_writer(trainer)
        if writer is not None:
            add_hyperparameters(writer, plan.hyperparameters, ["val/dice/mean"])
