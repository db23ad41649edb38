"""What a cut puts in an activation's place: found after every epoch, kept with the weights."""

import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from segtrace.attribution.passes import per_pass
from segtrace.attribution.patching import Estimates
from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.data.datamodule import CaseDataModule
from segtrace.errors import InputError
from segtrace.network.logits import Output
from segtrace.network.undisturbed import unchanged_generators
from segtrace.progress import step
from segtrace.tracking.cuts import Cuts, cut_network, in_words
from segtrace.tracking.edges import sites
from segtrace.tracking.estimates import wanted
from segtrace.tracking.explained import Network
from segtrace.training.averaging import kept_weights
from segtrace.training.callbacks.watch import Asked
from segtrace.training.epochs import finished_epochs, is_final
from segtrace.training.module import SegmentationModule


class KeepBaselines(pl.Callback):
    """Mean activations at every stage and edge, so that a network can be cut without its data.

    They are means over a fixed sample of training slices, a function of the data's seed alone, of
    the weights that the checkpoint will hold, and stand in ``pl_module.baselines``, from where the
    checkpoint takes them. Leaves no mark on the training. Epoch 0 and the last always have them.

    Args:
        slices: how many; all where there are fewer. See :data:`~segtrace.causal.baselines.ENOUGH`.
        every_n_epochs: how often. A checkpoint without them cannot be cut from the file alone.
    """

    def __init__(self, slices: int = ENOUGH, every_n_epochs: int = 1) -> None:
        for name, value, least in (("slices", slices, 2), ("every_n_epochs", every_n_epochs, 1)):
            if value < least:
                raise InputError(f"callbacks.baselines.{name}={value}; give {least} or more")
        self.slices = slices
        self.every_n_epochs = every_n_epochs

    @unchanged_generators()
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Those of the untrained network."""
        if finished_epochs(trainer) == 0:
            self._collect(trainer, pl_module)

    @unchanged_generators()
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Those of the weights that this epoch leaves behind."""
        if finished_epochs(trainer) % self.every_n_epochs == 0 or is_final(trainer):
            self._collect(trainer, pl_module)

    @unchanged_generators()
    def on_final_epoch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Those of the last epoch, where it turns out after it that none follows."""
        if getattr(pl_module, "baselines", None) is None:
            self._collect(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """At the latest when the training has ended."""
        self.on_final_epoch(trainer, pl_module)

    def _collect(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = getattr(trainer, "datamodule")  # noqa: B009 (untyped in Lightning)
        if not (isinstance(pl_module, SegmentationModule) and isinstance(data, CaseDataModule)):
            raise InputError(
                "KeepBaselines works with train.py's own module and data; to cut a network of "
                "another training give FlowCallback(training_slices=…)"
            )
        if not trainer.is_global_zero:
            return
        described = pl_module.description
        with kept_weights(trainer, pl_module):
            places = sites(pl_module.net, described["stages"], described["edges"])
            images = data.sample(self.slices)
            batch = per_pass(images, SLICES)
            found = collect(pl_module.net, places, [images], batch=batch)
        pl_module.baselines = found.to_plain()


def warn_of_no_means(trainer: pl.Trainer, asked: Asked) -> None:
    """Say before the training that nothing can be cut, where that is so."""
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set elsewhere)
    kept = any(isinstance(callback, KeepBaselines) for callback in callbacks)
    if asked.cut_every is not None and asked.training_slices is None and not kept:
        warnings.warn(
            f"cut_every={asked.cut_every}, but nothing will be cut: give FlowCallback "
            f"training_slices=…, a tensor (n, C, H, W) of about {ENOUGH} training slices "
            "without augmentation (train.py: keep callbacks.baselines)",
            stacklevel=2,
        )


def cutting(
    trainer: pl.Trainer,
    pl_module: pl.LightningModule,
    network: Network,
    edges: Any,
    epoch: int,
    asked: Asked,
) -> Callable[[], Cuts | None] | None:
    """What cuts every stage and edge of the weights in place; ``None`` without means."""
    kept = _kept(pl_module)
    if kept is None and asked.training_slices is None:
        return None

    def cut() -> Cuts | None:
        means = kept or _collected(network, edges, asked)
        shown = trainer.progress_bar_callback is not None
        return cut_epoch(network, edges, means, epoch, output=asked.output, shown=shown)

    return cut


def cut_epoch(
    network: Network,
    edges: Any,
    means: Baselines | None,
    epoch: int,
    *,
    output: Output | None = None,
    shown: bool = True,
) -> Cuts | None:
    """Cut every stage and edge of an epoch's weights; but for epoch 0 also find their route.

    Args:
        network: with the weights, and the slices.
        edges: see :func:`~segtrace.tracking.cuts.cut_network`, which is done.
        means: over training slices.
        epoch: finished passes.
        output: picks the logits from what the network returns.
        shown: say so, and how far it has come.
    """
    with step(*in_words(f"Epoch {epoch}"), shown=shown) as progress:
        return cut_network(
            network, edges, means, epoch, routes=epoch > 0, output=output, progress=progress
        )


def estimated(pl_module: pl.LightningModule, network: Network, edges: Any) -> Estimates | None:
    """What the epoch's trace estimates; ``None`` without means that are kept with the weights."""
    return wanted(network, edges, _kept(pl_module))


def _collected(network: Network, edges: Any, asked: Asked) -> Baselines | None:
    """Those of the slices that the callback was given."""
    if asked.training_slices is None:
        return None
    places = sites(network.net, network.stages, edges)
    batch = per_pass(asked.training_slices, SLICES)
    images = [asked.training_slices]
    return collect(network.net, places, images, batch=batch, output=asked.output)


def _kept(pl_module: pl.LightningModule) -> Baselines | None:
    """The means that the checkpoint will hold, in its own precision."""
    plain = pl_module.baselines if isinstance(pl_module, SegmentationModule) else None
    return None if plain is None else Baselines.from_plain(plain)
