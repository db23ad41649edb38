"""What a running training is cut with: the means of the weights as they are."""

import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.tracking.cuts import Cuts, cut_network
from segtrace.tracking.explained import Network
from segtrace.tracking.saying import telling
from segtrace.tracking.wiring import sites
from segtrace.training.callbacks.baselines import KeepBaselines
from segtrace.training.callbacks.watch import Asked
from segtrace.training.module import SegmentationModule


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
    asked: Asked,
    network: Network,
    epoch: int,
    output: Callable[[Any], Tensor] | None,
) -> Callable[[], Cuts | None] | None:
    """What cuts every stage and edge of the weights in place; ``None`` without means."""
    kept = _kept(pl_module)
    if kept is None and asked.training_slices is None:
        return None

    def cut() -> Cuts | None:
        means = kept or _collected(network, asked, output)
        with telling(shown=trainer.progress_bar_callback is not None) as progress:
            return cut_network(network, asked.edges, means, epoch, output=output, progress=progress)

    return cut


def _collected(
    network: Network, asked: Asked, output: Callable[[Any], Tensor] | None
) -> Baselines | None:
    """Those of the slices that the callback was given."""
    if asked.training_slices is None:
        return None
    places = sites(network.net, network.stages, asked.edges)
    return collect(network.net, places, [asked.training_slices], batch=SLICES, output=output)


def _kept(pl_module: pl.LightningModule) -> Baselines | None:
    """The means that the checkpoint will hold, in its own precision."""
    plain = pl_module.baselines if isinstance(pl_module, SegmentationModule) else None
    return None if plain is None else Baselines.from_plain(plain)
