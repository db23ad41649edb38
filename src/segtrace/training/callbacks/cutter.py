"""Cut the network of a running training, with the means of the weights as they are."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from segtrace.attribution.stages import StagesLike
from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.tracking.course import Network
from segtrace.tracking.cut_course import CutCourse
from segtrace.tracking.cuts import Cuts, cut_network
from segtrace.tracking.saying import telling
from segtrace.tracking.sink import Sink
from segtrace.tracking.wiring import sites
from segtrace.training.callbacks.baselines import KeepBaselines
from segtrace.training.module import SegmentationModule


class Cutter:
    """The part of the callback that cuts.

    Args:
        every: epochs between two cuts; ``None`` for never.
        edges: name -> edge; ``None`` for the table of known networks.
        training_slices: (n, C, H, W), for a module that keeps no baselines itself.

    Attributes:
        course: what was found so far.
        latest: the last cuts.
    """

    def __init__(
        self, every: int | None, edges: Mapping[str, Any] | None, training_slices: Tensor | None
    ) -> None:
        self.every, self.edges, self.training_slices = every, edges, training_slices
        self.course = CutCourse(every)
        self.latest: Cuts | None = None

    def warn(self, trainer: pl.Trainer) -> None:
        """Say before the training that nothing can be cut, where that is so."""
        callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009 (set elsewhere)
        kept = any(isinstance(callback, KeepBaselines) for callback in callbacks)
        if self.every is not None and self.training_slices is None and not kept:
            warnings.warn(
                f"cut_every={self.every}, but nothing will be cut: give FlowCallback "
                f"training_slices=…, a tensor (n, C, H, W) of about {ENOUGH} training slices "
                "without augmentation (train.py: keep callbacks.baselines)",
                stacklevel=2,
            )

    def due(self, pl_module: pl.LightningModule, epoch: int, final: bool) -> bool:
        """Whether to cut now; then it counts as done."""
        if self.training_slices is None and _kept(pl_module) is None:
            return False
        return self.course.due(epoch, final)

    def cut(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        network: Network,
        epoch: int,
        sink: Sink,
        output: Callable[[Any], Tensor] | None,
    ) -> None:
        """Cut every stage and edge, and tell what it cost."""
        baselines = _kept(pl_module) or self._collected(network.net, network.stages, output)
        with telling(shown=trainer.progress_bar_callback is not None) as progress:
            self.latest = cut_network(
                network,
                self.edges,
                baselines,
                epoch,
                output=output,
                progress=progress,
            )
        if self.latest is not None:
            self.course.tell(sink, self.latest)

    def _collected(
        self, net: nn.Module, stages: StagesLike, output: Callable[[Any], Tensor] | None
    ) -> Baselines | None:
        if self.training_slices is None:
            return None
        places = sites(net, stages, self.edges)
        return collect(net, places, [self.training_slices], batch=SLICES, output=output)


def _kept(pl_module: pl.LightningModule) -> Baselines | None:
    """The means that the checkpoint will hold, in its own precision."""
    plain = pl_module.baselines if isinstance(pl_module, SegmentationModule) else None
    return None if plain is None else Baselines.from_plain(plain)
