"""What ``train.py`` does, step by step: a configuration becomes a run."""

import shutil
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn

import segtrace
from segtrace.attribution.stages import resolve as resolve_stages
from segtrace.data.datamodule import SliceDataModule
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.report.event_files import rewind
from segtrace.report.files import check_writable, environment
from segtrace.report.tables import save_table
from segtrace.report.tensorboard import Writer, add_hyperparameters
from segtrace.training import checkpoint
from segtrace.training.assembly import module_of, settings_of, trainer_of
from segtrace.training.callback import FlowCallback
from segtrace.training.construction import construct, expect
from segtrace.training.continuity import check_same
from segtrace.training.cut_tables import report
from segtrace.training.evaluation import per_organ
from segtrace.training.explanation import check_chosen
from segtrace.training.module import SegmentationModule
from segtrace.training.plan import Plan
from segtrace.training.rehearsal import check_optimisation
from segtrace.training.run_config import settled
from segtrace.training.run_folder import is_first
from segtrace.training.wiring import named_edges


def data(plan: Plan) -> SliceDataModule:
    """The data module, its slices prepared.

    Raises:
        InputError: data that cannot be read; test cases that are asked for and are not there.
    """
    node = plan.config["data"]
    module: SliceDataModule = construct("data", node)
    expect("data", node, module, SliceDataModule)
    if plan.test and not module.split.get("test"):
        raise InputError(
            "test=true, but the split has no test cases; name some, "
            "'data.split={train: […], val: […], test: […]}', or leave test=true out"
        )
    module.setup("fit")
    return module


def probes(plan: Plan, data: SliceDataModule) -> Probes:
    """The slices that are looked at every epoch."""
    return data.probes(plan.config["probes"]["n"], plan.config["probes"]["from"])


def module(plan: Plan, data: SliceDataModule, probes: Probes) -> SegmentationModule:
    """The Lightning module, with a description of itself for its checkpoints.

    Raises:
        InputError: a network that cannot be built, whose stages are unknown, or which does not
            take slices of this size.
    """
    model, chosen = plan.config["model"], settings_of(plan.config)
    recipe = dict(model["net"])
    if "out_channels" in recipe and recipe["out_channels"] is None:
        recipe["out_channels"] = 1 + len(data.organs)
    net = checkpoint.build(recipe)
    size = int(data.preprocessing["size"])
    in_channels = int(recipe.get("in_channels", 1))
    check_size(net, size, in_channels, 1 + len(data.organs))
    stages = {stage.name: stage.to_plain() for stage in resolve_stages(net, model.get("stages"))}
    check_chosen(chosen, data.organs, stages)
    edges = named_edges(net, stages, model.get("edges"), size, in_channels)
    check_optimisation(model, net.parameters())
    description = {
        "version": segtrace.__version__,
        "network": recipe,
        "stages": stages,
        "edges": edges,
        "organs": dict(data.organs),
        "preprocessing": data.preprocessing,
        "source": {"name": type(data.source).__name__, "settings": data.source.settings()},
        "probes": probes.to_plain(embed=plan.config["probes"]["embed"]),
        "cases": data.whole_cases(probes.cases, probes.split),
        "explain": chosen.to_plain(),
        "cut_every": plan.cut_every,
        "memory_format": "channels_last" if model.get("channels_last", True) else "contiguous",
        "environment": environment(),
    }
    return module_of(plan.config, net, data.organs, description)


def check_size(net: nn.Module, size: int, in_channels: int, channels: int) -> None:
    """Send an empty slice through the network.

    Raises:
        InputError: a size that the network cannot divide, or other logits than the organs need.
    """
    training = net.training
    try:
        with torch.no_grad():
            logits = net.eval()(torch.zeros(1, in_channels, size, size))
    except RuntimeError as error:
        line = str(error).strip().split("\n")[0]
        raise InputError(
            f"the network does not take slices of {size} x {size} ({line}); give data.size a "
            f"multiple of 32, e.g. {max(32, round(size / 32) * 32)}"
        ) from error
    finally:
        net.train(training)
    wanted = (1, channels, size, size)
    if tuple(getattr(logits, "shape", ())) != wanted:
        raise InputError(
            f"the network turns a slice of {size} x {size} into {tuple(logits.shape)}; {wanted} "
            "is needed (background and organs): see model.net.out_channels and data.size"
        )


def trainer(plan: Plan, module: SegmentationModule, probes: Probes) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of the configuration.

    Raises:
        InputError: a value that a constructor refuses; a folder that cannot be written.
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
    for logger in built.loggers:
        if isinstance(logger, TensorBoardLogger):
            check_writable(logger.log_dir)
    return built


def take_up(
    plan: Plan, data: SliceDataModule, module: SegmentationModule, trainer: pl.Trainer
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
        anew = ("test/",) if plan.test else ()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                rewind(Path(logger.log_dir), plan.left.epoch, plan.left.batches, anew)


def announce(
    plan: Plan, data: SliceDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Say what will be trained on and how much disk it takes.

    Raises:
        InputError: less room on the disk than the checkpoints need; a validation after more batches
            than a pass has.
    """
    weights = sum(t.numel() * t.element_size() for t in module.net.state_dict().values())
    epochs = (trainer.max_epochs or 0) - (0 if plan.left is None else plan.left.epoch)
    need = weights * (epochs + 1) + 2 * 3 * weights  # slim ones; two full ones with AdamW's state
    free = shutil.disk_usage(plan.folder).free
    parts = ", ".join(f"{len(cases)} {part}" for part, cases in data.split.items() if cases)
    print(f"Cases: {parts}. Organs: {', '.join(data.organs)}.")
    # Small networks, in tests say, take some MiB.
    unit, power = ("GiB", 30) if need >= 2**30 / 10 else ("MiB", 20)
    print(f"Run: {plan.folder}. Its checkpoints take about {need / 2**power:.1f} {unit}.")
    if need > free:
        raise InputError(
            f"{plan.folder}: {free / 2**power:.1f} {unit} free, {need / 2**power:.1f} {unit} "
            "needed; free some, or say callbacks.checkpoints.every_n_epochs=10"
        )
    _check_interval(trainer, data)


def _check_interval(trainer: pl.Trainer, data: SliceDataModule) -> None:
    interval, limit = trainer.val_check_interval, trainer.limit_train_batches
    if not isinstance(interval, int) or trainer.check_val_every_n_epoch is None:
        return
    whole = len(data.train_dataloader())
    batches = min(limit, whole) if isinstance(limit, int) else int(limit * whole)
    if interval > batches:
        raise InputError(
            f"trainer.val_check_interval={interval}, but a pass has {batches} batches; give "
            f"{batches} or less, or trainer.check_val_every_n_epoch=null to count over passes"
        )


def note_hyperparameters(plan: Plan, trainer: pl.Trainer) -> None:
    """Fill the hyper-parameters page of TensorBoard, beside ``val/dice/mean``; once a run."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero and not plan.resume:
            writer: Writer = logger.experiment
            add_hyperparameters(writer, plan.hyperparameters, ["val/dice/mean"])


def score(
    plan: Plan, data: SliceDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Count the cases that the summary is about, as far as the training has not done so.

    A run that had finished all epochs and nothing more gets its end made up, without another point
    in its log.
    """
    if plan.left is not None and checkpoint.finished_epochs(trainer) == plan.left.epoch:
        for callback in flow_callbacks(trainer):
            callback.make_up_end(trainer)
    if plan.test:
        trainer.test(module, data, verbose=False)
    elif module.dice is None and trainer.limit_val_batches != 0:
        loggers, trainer.loggers = trainer.loggers, []
        trainer.validate(module, data, verbose=False)
        trainer.loggers = loggers


def flow_callbacks(trainer: pl.Trainer) -> list[FlowCallback]:
    """Those of the trainer that explain."""
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    return [callback for callback in callbacks if isinstance(callback, FlowCallback)]


def summarise(plan: Plan, module: SegmentationModule, trainer: pl.Trainer) -> None:
    """Where the run lies, how good the network is, and what to do next."""
    if not trainer.is_global_zero or module.dice is None:
        return
    save_table(plan.folder / "dice.csv", module.dice.table())
    means = per_organ(module.dice.compute(), module.organs)
    width = max(map(len, means))
    print("\nDice of the test cases" if plan.test else "\nDice of the validation cases")
    for name, value in means.items():
        print(f"  {name:<{width}}  {value:.3f}")
    _tell_cuts(trainer)
    last = plan.folder / "checkpoints" / f"epoch_{checkpoint.finished_epochs(trainer):03d}.ckpt"
    print(
        f"\nRun        {plan.folder}"
        f"\nLook       make tensorboard RUN={plan.folder}"
        f"\nExplain    python explain.py checkpoint={last}"
    )


def _tell_cuts(trainer: pl.Trainer) -> None:
    """Which stage or edge each organ could least do without, where the network was cut."""
    for callback in flow_callbacks(trainer):
        if callback.cuts is not None:
            report(callback.cuts)
