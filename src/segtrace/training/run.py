"""What ``train.py`` does, step by step: a configuration becomes a run."""

import shutil
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from pytorch_lightning.callbacks import ProgressBar

import segtrace
from segtrace.attribution.stages import resolve as resolve_stages
from segtrace.data.datamodule import SliceDataModule
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.report.files import environment
from segtrace.report.tables import save_table
from segtrace.report.tensorboard import add_hyperparameters
from segtrace.training import checkpoint
from segtrace.training.baselining import KeepBaselines
from segtrace.training.callback import FlowCallback
from segtrace.training.cut_tables import report
from segtrace.training.either_lightning import tensorboard_writer
from segtrace.training.epoch_checkpoints import EpochCheckpoints
from segtrace.training.explanation import Settings
from segtrace.training.fitting_input import Fitting
from segtrace.training.module import SegmentationModule
from segtrace.training.plan import Plan
from segtrace.training.progress import say
from segtrace.training.wiring import named_edges


def data(plan: Plan) -> SliceDataModule:
    """The data module, its slices prepared."""
    module: SliceDataModule = instantiate(plan.config["data"], _convert_="all")
    module.setup("fit")
    return module


def probes(plan: Plan, data: SliceDataModule) -> Probes:
    """The slices that are looked at every epoch."""
    return data.probes(plan.config["probes"]["n"], plan.config["probes"]["from"])


def module(plan: Plan, data: SliceDataModule, probes: Probes) -> SegmentationModule:
    """The Lightning module, with a description of itself for its checkpoints.

    Raises:
        InputError: a network that cannot be built, whose stages are unknown, or which does not
            take the slices of the data.
    """
    model = dict(plan.config["model"])
    recipe = dict(model.pop("net"))
    if "out_channels" in recipe and recipe["out_channels"] is None:
        recipe["out_channels"] = 1 + len(data.organs)
    net = checkpoint.build(recipe)
    image = probes.images[:1]  # as the data give it, whatever the network was made for
    Fitting(net, image, 1 + len(data.organs), recipe, data.smallest_batch).check()
    stages = {stage.name: stage.to_plain() for stage in resolve_stages(net, model.pop("stages"))}
    edges = named_edges(net, stages, model.pop("edges", None), image.shape[-1], image.shape[1])
    description = {
        "version": segtrace.__version__,
        "network": checkpoint.recorded(recipe, net),
        "stages": stages,
        "edges": edges,
        "organs": dict(data.organs),
        "preprocessing": data.preprocessing,
        "source": {"name": type(data.source).__name__, "settings": data.source.settings()},
        "probes": probes.to_plain(embed=plan.config["probes"]["embed"]),
        "cases": data.whole_cases(probes.cases, probes.split),
        "explain": settings(plan).to_plain(),
        "cut_every": plan.cut_every,
        "memory_format": "channels_last" if model.get("channels_last", True) else "contiguous",
        "environment": environment(),
    }
    built: SegmentationModule = _called(
        model, net=net, organs=dict(data.organs), description=description
    )
    return built


def settings(plan: Plan) -> Settings:
    """What is explained, and how."""
    chosen: Settings = instantiate(plan.config["explain"], _convert_="all")
    return chosen


def trainer(plan: Plan, module: SegmentationModule, probes: Probes) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of the configuration."""
    nodes = [node for node in plan.config["callbacks"].values() if node is not None]
    callbacks = [_callback(node, plan, module, probes) for node in nodes]
    if not plan.config["trainer"].get("enable_progress_bar", True):
        callbacks = [c for c in callbacks if not isinstance(c, ProgressBar)]
    # Explaining comes last, on the weights that the checkpoint will hold; what it cuts with before.
    callbacks.sort(key=lambda c: 2 * isinstance(c, FlowCallback) + isinstance(c, KeepBaselines))
    loggers = [instantiate(node) for node in plan.config["logger"].values() if node is not None]
    built: pl.Trainer = _called(
        plan.config["trainer"],
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=str(plan.folder),
    )
    return built


def _callback(
    node: Mapping[str, Any], plan: Plan, module: SegmentationModule, probes: Probes
) -> pl.Callback:
    given: dict[str, Any] = {}
    if node["_target_"] == "segtrace.training.callback.FlowCallback":
        given = {
            "stages": module.description["stages"],
            "edges": module.description["edges"],
            "probes": probes,
            "settings": settings(plan),
        }
    callback: pl.Callback = _called(node, **given)
    return callback


def _called(node: Mapping[str, Any], **objects: Any) -> Any:
    """What the node names, called with its options and these objects, handed over as they are."""
    return instantiate(node, _partial_=True, _convert_="all")(**objects)


def announce(
    plan: Plan, data: SliceDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Say what will be trained on and how much disk it takes.

    Raises:
        InputError: less room on the disk than the checkpoints need.
    """
    weights = sum(t.numel() * t.element_size() for t in module.net.state_dict().values())
    epochs = planned_epochs(data, trainer)
    # Slim ones; two full ones with AdamW's state. Without a limit, what the first epoch needs.
    need = weights * ((1 if epochs is None else epochs) + 1) + 2 * 3 * weights
    free = shutil.disk_usage(plan.folder).free
    parts = ", ".join(f"{len(cases)} {part}" for part, cases in data.split.items() if cases)
    say(f"Cases: {parts}. Organs: {', '.join(data.organs)}.")
    more = "" if epochs is not None else f", and {weights / 2**30:.2f} GiB more with every epoch"
    say(f"Run: {plan.folder}. Its checkpoints take about {need / 2**30:.1f} GiB{more}.")
    if need > free:
        raise InputError(
            f"{plan.folder}: {free / 2**30:.1f} GiB free, {need / 2**30:.1f} GiB needed; free "
            "some, or say callbacks.checkpoints.every_n_epochs=10"
        )


def planned_epochs(data: SliceDataModule, trainer: pl.Trainer) -> int | None:
    """How many passes there are at most; ``None`` where neither passes nor steps are limited."""
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        return trainer.max_epochs
    if trainer.max_steps == -1:
        return None
    steps = ceil(len(data.train_dataloader()) / trainer.accumulate_grad_batches)
    return ceil(trainer.max_steps / steps)


def note_hyperparameters(plan: Plan, trainer: pl.Trainer) -> None:
    """Fill the hyper-parameters page of TensorBoard, beside ``val/dice/mean``; once a run."""
    if trainer.is_global_zero and not plan.resume:
        writer = tensorboard_writer(trainer)
        if writer is not None:
            add_hyperparameters(writer, plan.hyperparameters, ["val/dice/mean"])


def score(
    plan: Plan, data: SliceDataModule, module: SegmentationModule, trainer: pl.Trainer
) -> None:
    """Count the cases that the summary is about, with the weights that the training has left.

    The validation cases once more only where their last validation saw other weights.
    """
    if plan.test:
        trainer.test(module, data, verbose=False)
        return
    # What the first process knows decides for all: only together can they count.
    known = trainer.strategy.broadcast(module.validated is not None)
    if not known and trainer.limit_val_batches != 0:
        trainer.validate(module, data, verbose=False)


def summarise(plan: Plan, module: SegmentationModule, trainer: pl.Trainer) -> None:
    """Where the run lies, how good the network is, and what to do next."""
    if not trainer.is_global_zero:
        return
    if module.counted is not None:
        save_table(plan.folder / "dice.csv", module.counted.table())
        means = module.counted.per_organ()
        width = max(map(len, means))
        print("\nDice of the test cases" if plan.test else "\nDice of the validation cases")
        for name, value in means.items():
            print(f"  {name:<{width}}  {value:.3f}")
    _tell_cuts(trainer)
    print(f"\nRun        {plan.folder}\nLook       make tensorboard RUN={plan.folder}")
    last = last_checkpoint(trainer)
    if last is not None:
        network = module.description.get("network", {})
        print(f"Explain    python explain.py {checkpoint.named(last, network)}")


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The file with the weights that the training has left; ``None`` where none was kept."""
    name = f"epoch_{checkpoint.finished_epochs(trainer):03d}.ckpt"
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, EpochCheckpoints) and (callback.folder / name).is_file():
            return callback.folder / name
    return None


def _tell_cuts(trainer: pl.Trainer) -> None:
    """Which stage or edge each organ could least do without, where the network was cut."""
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    for callback in callbacks:
        if isinstance(callback, FlowCallback) and callback.cuts is not None:
            report(callback.cuts)
