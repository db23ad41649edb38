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

from segtrace.attribution.rules import RULES, resolve
from segtrace.data.labels import check_names
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.report.files import check_writable
from segtrace.report.tensorboard import Writer
from segtrace.training.averaging import kept_weights
from segtrace.training.checkpoint import finished_epochs, is_final
from segtrace.training.course import Course, Network
from segtrace.training.cuts import Cuts
from segtrace.training.cutter import Cutter
from segtrace.training.explanation import DEFAULT, Explained, Settings, explain_probes
from segtrace.training.pace import CHARTS
from segtrace.training.probing import probes_of
from segtrace.training.sink import Sink

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
        draw_every: rule -> epochs between two of its pictures, ``charts`` -> between two drawings
            of timelines, leakage and events; what is not named follows
            :data:`~segtrace.training.pace.EVERY`. Numbers come with every explained epoch.
        cut_every: epochs between two cuts of all stages and edges, which show what the network
            relies on and take seconds to a minute; ``None`` for never. Epoch 0 and the last are.
        edges: name -> edge, see :func:`segtrace.attribution.edges.resolve`; ``None`` for a network
            of the table. Without edges the stages alone are cut.
        training_slices: (n, C, H, W) preprocessed and not augmented, about 64 drawn at random: what
            stands in the place of a cut activation is their mean. ``train.py`` needs none.
        output: picks the logits from what the network returns.
        folder: for files; ``None`` takes ``flow`` in the trainer's folder.

    Logged, with the epoch as step (see :mod:`segtrace.report.tensorboard`):
        ``flow/{rule}/{organ}``: picture, probes x stages.
        ``measure_{measure}/{rule}/{organ}/{stage}``: scalar over the probes, for ``gain``,
        ``kappa``, ``magnitude`` and ``mass`` as far as 400 charts go; and their layout.
        ``timeline/{measure}/{rule}/{organ}``: picture, stages x epochs.
        ``leak/{rule}/{stage}``: picture, organ x organ. ``events/{rule}``: text.
        ``necessity/dice_lost``: picture, stages and edges x organs; ``timeline/necessity/{organ}``;
        ``route/{organ}``: the route diagram; ``route/sentences``: text. Where it cuts.

    Written into ``folder``: the same pictures, texts and numbers, see
    :class:`~segtrace.training.sink.Sink` and
    :class:`~segtrace.training.cut_course.CutCourse`.
    """

    def __init__(
        self,
        net: str = "net",
        stages: Mapping[str, Any] | None = None,
        organs: Mapping[str, int] | None = None,
        probes: Probes | int = 8,
        settings: Settings = DEFAULT,
        every_n_epochs: int | Literal["auto"] = 1,
        draw_every: dict[str, int] | None = None,
        cut_every: int | None = None,
        edges: Mapping[str, Any] | None = None,
        training_slices: Tensor | None = None,
        output: Callable[[Any], Tensor] | None = None,
        folder: str | None = None,
    ) -> None:
        if every_n_epochs != "auto" and every_n_epochs < 1:
            raise InputError(f"every_n_epochs={every_n_epochs}; give 1 or more, or auto")
        drawn = [CHARTS, *dict.fromkeys([*RULES, *(rule.name for rule in resolve(settings.rules))])]
        for name, every in (draw_every or {}).items():
            if name not in drawn:
                raise unknown("drawing", f"draw_every.{name}", [f"draw_every.{n}" for n in drawn])
            if every < 1:
                raise InputError(f"draw_every.{name}={every}; give 1 or more")
        if cut_every is not None and cut_every < 1:
            raise InputError(f"cut_every={cut_every}; give 1 or more, or null for never")
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
        self._course = Course(draw_every)
        self._cutter = Cutter(cut_every, edges, training_slices)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse what cannot work before any work is done."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        self._network(pl_module)
        check_names(self._organs(pl_module) or ())
        check_writable(self._folder(trainer))
        if self._writer(trainer) is None:
            warnings.warn(
                "FlowCallback found no TensorBoardLogger: pictures and numbers go to "
                f"{self._folder(trainer)} alone",
                stacklevel=2,
            )
        self._cutter.warn(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the probes, and explain the untrained network."""
        if not trainer.is_global_zero:
            return
        epoch = finished_epochs(trainer)
        self._sink(trainer).forget(epoch + (epoch > 0))
        if epoch == 0:
            self._explain(trainer, pl_module)
            self._cut(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Explain the weights that this epoch leaves behind."""
        if not trainer.is_global_zero:
            return
        if finished_epochs(trainer) % self._interval == 0 or is_final(trainer):
            began = time.monotonic()
            self._explain(trainer, pl_module)
            if self.every_n_epochs == "auto":
                self._adapt(time.monotonic() - began, began - self._epoch_began)
        self._cut(trainer, pl_module)

    def _watched(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Network:
        """The network and its probes, which are chosen the first time."""
        organs = self._organs(pl_module)
        if not organs:
            raise InputError("FlowCallback needs organs={name: channel, …}")
        if not isinstance(self.probes, Probes):
            self.probes = probes_of(trainer, organs, self.probes)
        return Network(self._network(pl_module), self.stages, self.probes, organs, self.settings)

    def _organs(self, pl_module: pl.LightningModule) -> Mapping[str, int] | None:
        return self.organs if self.organs is not None else getattr(pl_module, "organs", None)

    def _explain(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network = self._watched(trainer, pl_module)
        epoch, final = finished_epochs(trainer), is_final(trainer)
        with kept_weights(trainer, pl_module):
            explained = explain_probes(*network, epoch=epoch, output=self.output)
            leaks = self._course.leaks(network, explained, final, self.output)
        dice = getattr(pl_module, "organ_dice", {})
        self._course.tell(self._sink(trainer), explained, leaks, dice, final)
        self.explained = explained

    def _cut(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._cutter.due(trainer, pl_module):
            network = self._watched(trainer, pl_module)
            with kept_weights(trainer, pl_module):
                self._cutter.cut(trainer, pl_module, network, self._sink(trainer), self.output)

    @property
    def cuts(self) -> Cuts | None:
        """What the last cuts cost; ``None`` where nothing was cut."""
        return self._cutter.latest

    def make_up_end(self, trainer: pl.Trainer) -> None:
        """Write what needs the end of the training, where a resumed one has nothing left to do."""
        if trainer.is_global_zero and self._course.history.epochs:
            self._sink(trainer).end(self._course.history)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the timelines: plain values and tensors."""
        return self._course.to_plain() | {"cuts": self._cutter.course.to_plain()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._course.go_on(state_dict)
        if "cuts" in state_dict:
            self._cutter.course.go_on(state_dict["cuts"])

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

    def _sink(self, trainer: pl.Trainer) -> Sink:
        return Sink(self._folder(trainer), self._writer(trainer))

    def _writer(self, trainer: pl.Trainer) -> Writer | None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: Writer = logger.experiment
                return writer
        return None
