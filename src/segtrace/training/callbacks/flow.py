"""Watch the evidence form: explain fixed slices after every epoch of any Lightning training."""

import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from weakref import ref

import pytorch_lightning as pl
from torch import Tensor

from segtrace.activation import OrganLike
from segtrace.data.labels import check_names
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.network.guards import places_or_proposed
from segtrace.network.logits import Output
from segtrace.network.undisturbed import unchanged_generators
from segtrace.progress import say
from segtrace.report.files import check_writable
from segtrace.report.sinks import show_pictures
from segtrace.tracking import guards
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.explained import (
    DEFAULT,
    Explained,
    Network,
    Settings,
    check_explainable,
    explain_probes,
    under,
)
from segtrace.tracking.tracker import Epoch
from segtrace.tracking.writer import CUTS
from segtrace.training.averaging import kept_weights
from segtrace.training.callbacks.baselines import cutting, estimated, warn_of_no_means
from segtrace.training.callbacks.choosing import choose, network_of, organs_of
from segtrace.training.callbacks.interrupts import once_more_leaves
from segtrace.training.callbacks.outlet import Outlet, come_last, everyone_in
from segtrace.training.callbacks.own_folder import claim
from segtrace.training.callbacks.watch import Asked, Watch
from segtrace.training.either_lightning import EitherCallback
from segtrace.training.epochs import finished_epochs, is_final
from segtrace.training.losses import Losses
from segtrace.training.precision import refuse_half
from segtrace.training.validated import Validated


class FlowCallback(EitherCallback):
    """Trace the evidence for every organ through every stage, at epoch 0 and after each epoch.

    Works in any Lightning module, of ``pytorch_lightning`` and of ``lightning``, and leaves no mark
    on the training: the final weights are equal to the last bit with and without it. Explained are
    the weights that the checkpoint will hold. What it has seen belongs to one fit: another trainer
    begins anew, in a folder of its own; a resumed checkpoint and a second ``fit`` of the same
    trainer and module go on.

    Args:
        net: name of the network in the Lightning module, e.g. ``"net"`` or ``"model.backbone"``;
            ``""`` for the module itself.
        stages: name -> module path within the network; ``None`` for a network of the table,
            ``"proposed"`` to take what :func:`segtrace.describe` proposes, and its edges.
        organs: organ -> channel, or ``{"channel": 0, "label": 1}``, see
            :func:`segtrace.explain`; ``None`` takes ``pl_module.organs``.
        probes: the slices, volumes or fixed patches; or how many to choose from the validation
            loader.
        settings: rules, region, score, …
        every_n_epochs: how often; ``"auto"`` stays under 5 % of the training time, and says so.
            Epoch 0 and the last are always explained, whatever ends the training.
        draw_every: rule -> epochs between two of its pictures, ``charts`` -> between two drawings
            of timelines, leakage and events; what is not named follows
            :data:`~segtrace.tracking.tracker.EVERY`. Numbers come with every explained epoch.
        cut_every: epochs between two cuts of all stages and edges, which show what the network
            relies on and take seconds to a minute; ``None`` for never. Epoch 0 and the last are.
        edges: name -> edge, see :func:`segtrace.network.edges.resolve`; ``None`` for a network
            of the table. Without edges the stages alone are cut.
        training_slices: (n, C, *image) preprocessed and not augmented, about 64 drawn at random:
            what stands in the place of a cut activation is their mean. ``train.py`` needs none.
        output: picks the logits from what the network returns: an index, a key, a field or a
            function.
        folder: for files; ``None`` takes ``flow`` in the folder of the first logger, else in the
            trainer's. One that holds another run's results is refused. Of several callbacks in one
            trainer each needs its own, and the first alone writes to loggers.
        activation: ``softmax`` or ``sigmoid``, see :func:`segtrace.explain`.

    Logged, with the epoch as step (see :mod:`segtrace.report.tensorboard`):
        ``1_overview``: loss, Dice, gain and a strip of maps. ``2_flow/{rule}/{organ}``: the maps.
        ``3_timeline/gain/{rule}/{organ}``: stages x epochs, by the leading rule.
        ``4_cut/dice_lost``, ``4_cut/route/{organ}``, ``4_cut/sentences``, where it cuts, and
        ``4_cut/estimate``, what cuts would cost at every epoch, with those that were made.
        ``5_leak/events/{rule}``: text. With ``measures="all"``, all else that is drawn, and
        ``z_measure/{measure}/{rule}/{organ}/{stage}``: scalar over the probes, for the measures
        that are charted (:data:`segtrace.measures.measure.MEASURES`) as far as 400 charts go.

    Written into ``folder``: the same pictures, texts and numbers, see
    :class:`~segtrace.tracking.writer.Writer`.
    """

    @guards.held(net=guards.text, stages=places_or_proposed)
    def __init__(
        self,
        net: str = "net",
        stages: Mapping[str, Any] | Literal["proposed"] | None = None,
        organs: Mapping[str, OrganLike] | None = None,
        probes: Probes | int = 8,
        settings: Settings = DEFAULT,
        every_n_epochs: int | Literal["auto"] = 1,
        draw_every: dict[str, int] | None = None,
        cut_every: int | None = None,
        edges: Mapping[str, Any] | None = None,
        training_slices: Tensor | None = None,
        output: Output | None = None,
        folder: str | None = None,
        activation: str | None = None,
    ) -> None:
        self.net = net
        self.organs = organs
        self.every_n_epochs = every_n_epochs
        self._asked = Asked(
            probes,
            every_n_epochs,
            draw_every,
            cut_every,
            stages,
            edges,
            training_slices,
            under(activation, settings),
            output,
        )
        self._watch = Watch(self._asked)
        self._serves: tuple[Any, ...] = ()
        self._outlet = Outlet(type(self).__qualname__, net, folder, more=settings.measures == "all")
        self._validated = Validated()
        self._epoch_began, self._losses = 0.0, Losses()

    @property
    def probes(self) -> Probes | int:
        """The slices, once they are chosen."""
        return self._watch.probes

    @property
    def folder(self) -> str | None:
        """Where its files go, as it was given."""
        return self._outlet.given

    @folder.setter
    def folder(self, given: str | None) -> None:
        self._outlet.given = given

    @property
    def explained(self) -> Explained | None:
        """The last epoch's maps and measures."""
        return self._watch.tracker.explained

    @property
    def cuts(self) -> Cuts | None:
        """What the last cuts cost; ``None`` where nothing was cut."""
        return self._watch.tracker.cuts

    @property
    def overview(self) -> Path | None:
        """The picture of the last epoch; ``None`` where none is drawn."""
        trainer, epoch = self._serves[0]() if self._serves else None, self._watch.tracker.epoch
        if trainer is None or epoch is None:
            return None
        return self._outlet.writer(trainer).epoch(epoch) / "overview.png"

    @property
    def state_key(self) -> str:
        """Under which a checkpoint keeps the record: the name of the class.

        Of several in one trainer each adds what tells it from the others, its network and folder.
        """
        return self._outlet.key

    @unchanged_generators()
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin a fit, and refuse what cannot work before any work is done."""
        others = [c for c in everyone_in(trainer) if isinstance(c, FlowCallback) and c is not self]
        begun = {other._outlet: other._works_for(trainer) for other in others}
        self._outlet.stand_beside(trainer, begun)
        if stage != "fit":
            return
        if tuple(other() for other in self._serves) != (trainer, pl_module):
            self._watch, self._serves = Watch(self._asked), (ref(trainer), ref(pl_module))
        self._watch.resumed, self._watch.at_work = None, False
        come_last(trainer, self)
        if not trainer.is_global_zero:
            return
        network_of(pl_module, self.net)
        refuse_half(trainer.precision)
        check_names(organs_of(pl_module, self.organs) or ())
        check_writable(self._outlet.folder(trainer))
        sinks = self._outlet.sinks(trainer)
        for sink in sinks:
            sink.begin()
        if self._outlet.logs and not show_pictures(sinks):
            warnings.warn(
                "FlowCallback found no logger that shows pictures: they go to "
                f"{self._outlet.folder(trainer)} alone",
                stacklevel=2,
            )
        warn_of_no_means(trainer, self._asked)

    @unchanged_generators()
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the probes, and explain the untrained network, or see that it can be explained."""
        if not trainer.is_global_zero:
            return
        epoch = finished_epochs(trainer)
        if not self._watch.continues(epoch, restored=trainer.ckpt_path is not None):
            self._watch = Watch(self._asked)
        watch, writer = self._watch, self._outlet.writer(trainer)
        rules = self._asked.settings.rule_names
        claim(writer, watch.tracker.history, rules)
        writer.truncate(dict.fromkeys(rules, -1) | watch.tracker.reached)
        network = self._chosen(trainer, pl_module)
        watch.check_slices(network.probes)
        if watch.tracker.epoch is None and epoch == 0:
            if trainer.progress_bar_callback is not None:
                say("Epoch 0: explaining the untrained network, before the first step")
            with watch.working():
                self._update(trainer, pl_module, 0, final=False)
        else:
            check_explainable(*network, output=self._asked.output)

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A few batches are no validation."""
        if trainer.num_sanity_val_batches != trainer.num_val_batches:
            self._validated.forget()

    @unchanged_generators()
    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Remember which weights are validated: those that other callbacks have put in place."""
        if trainer.is_global_zero and batch_idx == dataloader_idx == 0:
            self._validated.see(pl_module, network_of(pl_module, self.net))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and the mean of the loss."""
        self._epoch_began, self._losses = time.monotonic(), Losses()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the loss of the step for the overview."""
        self._losses.add(outputs)

    @unchanged_generators()
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Explain the weights that this epoch leaves behind."""
        if not trainer.is_global_zero:
            return
        epoch, final, watch = finished_epochs(trainer), is_final(trainer), self._watch
        with kept_weights(trainer, pl_module), watch.working():
            explains = epoch % watch.interval == 0 or final
            began = time.monotonic()
            self._update(trainer, pl_module, epoch, final, explains=explains)
            if explains and self.every_n_epochs == "auto":
                watch.adapt(watch.tracker.seconds, began - self._epoch_began)
            watch.left.clear() if final else watch.left.keep(epoch, pl_module)

    @unchanged_generators()
    def on_final_epoch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make up what the last finished epoch was spared, since none follows after all.

        Called as soon as that is known, at the latest when the training has ended.
        """
        watch = self._watch
        if not trainer.is_global_zero or watch.at_work or watch.left.epoch is None:
            return
        with watch.left.back(pl_module), watch.working():
            self._update(trainer, pl_module, watch.left.epoch, final=True)
        watch.left.clear()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The training has ended, whatever ended it."""
        self.on_final_epoch(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Somebody has ended it; an error is no end, since the run may go on from a checkpoint."""
        if isinstance(exception, KeyboardInterrupt | SystemExit):
            with once_more_leaves(exception):
                self.on_final_epoch(trainer, pl_module)

    def make_up_end(self, trainer: pl.Trainer) -> None:
        """Write what needs the end of the training, where a resumed one has nothing left to do."""
        if trainer.is_global_zero:
            self._watch.tracker.finish(self._outlet.writer(trainer))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the timelines: plain values and tensors."""
        return self._watch.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            InputError: the record of the epochs so far is no such record.
        """
        self._watch = Watch(self._asked)
        self._watch.load_state_dict(state_dict, adapts=self.every_n_epochs == "auto")

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process serves nobody yet."""
        return vars(self) | {"_serves": ()}

    def _works_for(self, trainer: pl.Trainer) -> bool:
        return bool(self._serves) and self._serves[0]() is trainer

    def _chosen(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Network:
        """What this fit is about."""
        organs = organs_of(pl_module, self.organs)
        if not organs:
            raise InputError("FlowCallback needs organs={name: channel, …}")
        net = network_of(pl_module, self.net)
        return choose(trainer, net, organs, self._asked, self._watch)

    def _update(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        number: int,
        final: bool,
        *,
        explains: bool = True,
    ) -> None:
        """Trace, measure and cut the weights in place, as far as that is due, and write it."""
        watch, asked, tracker = self._watch, self._asked, self._watch.tracker
        if watch.network is None or not (explains or tracker.due(CUTS, number, final)):
            return
        network = watch.network._replace(net=network_of(pl_module, self.net))
        epoch = Epoch(
            number,
            final,
            network,
            partial(
                explain_probes,
                *network,
                epoch=number,
                output=asked.output,
                estimates=estimated(pl_module, network, watch.edges),
            )
            if explains
            else None,
            cutting(trainer, pl_module, network, watch.edges, number, asked),
            self._validated.dice(pl_module, network.net) if explains else {},
            asked.output,
            self._losses.mean(),
        )
        tracker.update(self._outlet.writer(trainer), epoch)
