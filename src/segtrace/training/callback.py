"""Watch the evidence form: explain fixed slices after every epoch of any Lightning training."""

import time
import warnings
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn

from segtrace.attribution.rules import RULES
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.measures.localisation import over_slices
from segtrace.report.files import check_writable, save_png
from segtrace.report.tables import append_rows, forget_rows
from segtrace.report.tensorboard import (
    Block,
    Writer,
    add_layout,
    add_picture,
    add_scalars,
    flow_tag,
    scalar_blocks,
    scalar_tag,
)
from segtrace.training.averaging import kept_weights
from segtrace.training.checkpoint import finished_epochs
from segtrace.training.explanation import DEFAULT, Explained, Settings, explain_probes
from segtrace.training.probing import probes_of

SHARE = 0.05
"""Of the training time, which ``every_n_epochs=auto`` stays under."""


class FlowCallback(pl.Callback):
    """Trace the evidence for every organ through every stage, at epoch 0 and after each epoch.

    Works in any Lightning module and leaves no mark on the training: the final weights are equal
    to the last bit with and without it. Explained are the weights that the checkpoint will hold.

    Args:
        net: name of the network in the Lightning module, e.g. ``"net"`` or ``"model.backbone"``;
            ``""`` for the module itself.
        stages: name -> module path within the network; ``None`` for a network of the table.
        organs: organ -> channel; ``None`` takes ``pl_module.organs``.
        probes: the slices; or how many to choose from the validation loader.
        settings: rules, region, score, …
        every_n_epochs: how often; ``"auto"`` stays under 5 % of the training time, and says so.
            Epoch 0 and the last are always explained.
        output: picks the logits from what the network returns.
        folder: for files; ``None`` takes ``flow`` in the trainer's folder.

    Logged, with the epoch as step (see :mod:`segtrace.report.tensorboard`):
        ``flow/{rule}/{organ}``: picture, probes x stages.
        ``measure_{measure}/{rule}/{organ}/{stage}``: scalar over the probes, for ``gain``,
        ``kappa``, ``magnitude`` and ``mass`` as far as 400 charts go; and their layout.

    Written into ``folder``: the same pictures as ``epoch_003/{rule}/{organ}.png``, and every
    number of every slice in ``measures.csv``.
    """

    def __init__(
        self,
        net: str = "net",
        stages: Mapping[str, Any] | None = None,
        organs: Mapping[str, int] | None = None,
        probes: Probes | int = 8,
        settings: Settings = DEFAULT,
        every_n_epochs: int | Literal["auto"] = 1,
        output: Callable[[Any], Tensor] | None = None,
        folder: str | None = None,
    ) -> None:
        if every_n_epochs != "auto" and every_n_epochs < 1:
            raise InputError(f"every_n_epochs={every_n_epochs}; give 1 or more, or auto")
        self.net = net
        self.stages = stages
        self.organs = organs
        self.probes = probes
        self.settings = settings
        self.every_n_epochs = every_n_epochs
        self.output = output
        self.folder = folder
        self.explained: Explained | None = None
        """The last epoch's maps and measures."""
        self._interval = 1 if every_n_epochs == "auto" else every_n_epochs
        self._epoch_began = 0.0
        self._laid_out = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse what cannot work before any work is done."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        self._network(pl_module)
        check_writable(self._folder(trainer))
        if self._writer(trainer) is None:
            warnings.warn(
                "FlowCallback found no TensorBoardLogger: pictures and numbers go to "
                f"{self._folder(trainer)} alone",
                stacklevel=2,
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the probes, and explain the untrained network."""
        if not trainer.is_global_zero:
            return
        epoch = finished_epochs(trainer)
        forget_rows(self._table(trainer), "epoch", epoch + (epoch > 0))
        if epoch == 0:
            self._explain(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Explain the weights that this epoch leaves behind."""
        epoch = finished_epochs(trainer)
        due = epoch % self._interval == 0 or epoch == trainer.max_epochs
        if not trainer.is_global_zero or not due:
            return
        began = time.monotonic()
        self._explain(trainer, pl_module)
        if self.every_n_epochs == "auto":
            self._adapt(time.monotonic() - began, began - self._epoch_began)

    def _explain(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        organs = self.organs if self.organs is not None else getattr(pl_module, "organs", None)
        if not organs:
            raise InputError("FlowCallback needs organs={name: channel, …}")
        if not isinstance(self.probes, Probes):
            self.probes = probes_of(trainer, organs, self.probes)
        with kept_weights(trainer, pl_module):
            self.explained = explain_probes(
                self._network(pl_module),
                self.stages,
                self.probes,
                organs,
                self.settings,
                finished_epochs(trainer),
                self.output,
            )
        self._write(trainer, self.explained)

    def _write(self, trainer: pl.Trainer, explained: Explained) -> None:
        epoch = explained.record.epoch or 0
        writer, folder = self._writer(trainer), self._folder(trainer)
        for rule, organ, picture in explained.pictures():
            save_png(folder / f"epoch_{epoch:03d}" / rule / f"{organ}.png", picture)
            if writer is not None:
                add_picture(writer, flow_tag(rule, organ), picture, epoch)
        append_rows(self._table(trainer), explained.rows())
        if writer is not None:
            self._write_scalars(writer, explained, epoch)

    def _write_scalars(self, writer: Writer, explained: Explained, epoch: int) -> None:
        flow = explained.record.flow
        blocks, left_out = scalar_blocks(charts(flow.rules), flow.organs, flow.stages)
        if not self._laid_out:
            add_layout(writer, blocks, flow.organs, flow.stages)
            self._laid_out = True
            if left_out:
                names = ", ".join(f"{measure} of {rule}" for measure, rule in left_out)
                print(f"More than 400 charts: {names} only in measures.csv")
        readable = over_slices(explained.values, flow.status)
        # Coherence is charted where it is low too: that is what it is for.
        means = readable | {"kappa": over_slices(explained.values)["kappa"]}
        add_scalars(
            writer,
            {
                scalar_tag(measure, rule, organ, stage): float(means[measure][s, r, o])
                for measure, rule in blocks
                for r in [flow.rules.index(rule)]
                for o, organ in enumerate(flow.organs)
                for s, stage in enumerate(flow.stages)
            },
            epoch,
        )

    def _adapt(self, cost: float, training: float) -> None:
        interval = max(1, ceil(cost / (SHARE * training)))
        if interval != self._interval:
            self._interval = interval
            print(
                f"Explaining takes {cost:.1f} s, an epoch {training:.1f} s: every {interval} "
                "epochs from here"
            )

    def _network(self, pl_module: pl.LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.net)
        except AttributeError:
            names = ", ".join(name for name, _ in pl_module.named_children())
            raise InputError(
                f"{type(pl_module).__name__} has no network {self.net!r}; FlowCallback(net=…) "
                f"can be {names}, or '' for the module itself"
            ) from None

    def _folder(self, trainer: pl.Trainer) -> Path:
        if self.folder is not None:
            return Path(self.folder)
        return Path(trainer.log_dir or trainer.default_root_dir) / "flow"

    def _table(self, trainer: pl.Trainer) -> Path:
        return self._folder(trainer) / "measures.csv"

    def _writer(self, trainer: pl.Trainer) -> Writer | None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: Writer = logger.experiment
                return writer
        return None


def charts(rules: tuple[str, ...]) -> list[Block]:
    """(measure, rule) pairs worth a chart, the most telling first.

    Coherence qualifies the rules that average the gradient, so it is drawn for these alone.
    """
    averaging = [rule for rule in rules if rule not in RULES or RULES[rule].averages]
    wanted = [("gain", rule) for rule in rules]
    wanted += [("kappa", rule) for rule in averaging]
    return wanted + [(measure, rule) for measure in ("magnitude", "mass") for rule in rules]
