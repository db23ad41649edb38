"""What was seen on the way up: scores and regions at every step shown, and the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import OrganLike, predicted, predicted_mask
from segtrace.attribution.flow import Status
from segtrace.explainers.couteaux2019.features import NAMES, Region, Ruler, of_regions
from segtrace.report.scene import Scene

SHOWN = 2
"""Slices of an organ that are drawn."""


@dataclass(frozen=True)
class Frames:
    """A slice, or a plane of a volume, on its way.

    Attributes:
        n: which of the slices.
        plane: of a volume; ``None`` of a slice.
        images: one (H, W) a step shown, first channel.
        masks: one (H, W) bool a step shown: where the organ is predicted.
    """

    n: int
    plane: int | None
    images: list[Tensor] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)

    def of(self, volume: Tensor) -> Tensor:
        """(H, W) of (*image)."""
        return volume if self.plane is None else volume[self.plane]


@dataclass(frozen=True)
class Trajectory:
    """Numbers of every organ that was climbed, at every step shown.

    Attributes:
        organs: that were climbed.
        observed: whose predicted regions were measured.
        steps: numbers of the steps shown.
        scores: (J, O, N) float64.
        features: name -> (J, O, Q, N) float64, Q the observed organ.
        frames: organ -> slices that are drawn.
        dreams: (O, N, C, *image), the images at the last step.
        absent: (O, N) bool, that there was no region to climb: all numbers are NaN.
    """

    organs: tuple[str, ...]
    observed: tuple[str, ...]
    steps: tuple[int, ...]
    scores: Tensor
    features: Mapping[str, Tensor]
    frames: Mapping[str, Sequence[Frames]]
    dreams: Tensor
    absent: Tensor

    def own(self, name: str) -> Tensor:
        """(J, O, N) of the organ that was climbed itself."""
        at = [self.observed.index(organ) for organ in self.organs]
        return torch.stack([self.features[name][:, o, q] for o, q in enumerate(at)], 1)

    def rows(self, scene: Scene, ruler: Ruler) -> list[dict[str, Any]]:
        """A row a slice, climbed organ, step and observed organ."""
        units = {
            "area_unit": ruler.size, "value_unit": ruler.value, "length_unit": ruler.length,
        }  # fmt: skip
        return [
            {
                "case": scene.cases[n],
                "slice": scene.slices[n],
                "organ": organ,
                "step": step,
                "status": self.status(j, o, n).label,
                "score": float(self.scores[j, o, n]),
                "observed": other,
                **{name: float(self.features[name][j, o, q, n]) for name in NAMES},
                **units,
            }
            for n in range(len(scene.cases))
            for o, organ in enumerate(self.organs)
            for j, step in enumerate(self.steps)
            for q, other in enumerate(self.observed)
        ]

    def status(self, j: int, o: int, n: int) -> Status:
        """Of a step shown, organ and slice."""
        if self.absent[o, n]:
            return Status.ABSENT
        return Status.OK if self.scores[j, o, n].isfinite() else Status.NONFINITE


class Recorder:
    """Keeps what an ascent shows.

    Args:
        organs: that are climbed.
        observed: organ -> channel, whose regions are measured.
        logits: of the slices as they are.
        activation: of logits.
        x: the slices.
        ruler: units.
        there: organ -> (N, *image) where the truth, or else the prediction, has it.
        absent: organ -> (N,) bool, that there is no region to climb: all numbers are NaN.
    """

    def __init__(
        self,
        organs: Sequence[str],
        observed: Mapping[str, OrganLike],
        logits: Tensor,
        activation: str,
        x: Tensor,
        ruler: Ruler,
        there: Mapping[str, Tensor],
        absent: Mapping[str, Tensor],
    ) -> None:
        self._organs, self._observed, self._ruler = tuple(organs), observed, ruler
        self._activation, self._slices = activation, len(x)
        self._absent = torch.stack([absent[organ] for organ in organs]).cpu()
        self.start = self.regions(logits, x, slice(None))
        self._frames = {organ: _drawn(there[organ]) for organ in organs}
        self._numbers: dict[int, Tensor] = {}
        self._dreams = torch.stack([x.cpu()] * len(self._organs))

    def regions(
        self,
        logits: Tensor,
        x: Tensor,
        which: slice,
        start: Mapping[str, Region] | None = None,
    ) -> dict[str, Region]:
        """Organ -> its predicted regions on images (n, C, *image) of so many slices."""
        found = predicted(logits, self._activation)
        return {
            organ: of_regions(
                predicted_mask(found, channel), x[:, 0], self._ruler, which,
                None if start is None else start[organ],
            )
            for organ, channel in self._observed.items()
        }  # fmt: skip

    def numbers(self, logits: Tensor, x: Tensor, which: slice) -> Tensor:
        """(features, Q, n) of them, beside the slices as they are."""
        start = {
            organ: Region(one.mask[which], one.middle[which], one.numbers)
            for organ, one in self.start.items()
        }
        found = self.regions(logits, x, which, start)
        return torch.stack(
            [torch.stack([one.numbers[name] for one in found.values()]) for name in NAMES]
        ).cpu()

    def seen(
        self, step: int, organ: str, which: slice, x: Tensor, logits: Tensor, score: Tensor
    ) -> None:
        """See :meth:`~segtrace.explainers.couteaux2019.ascent.Ascent.climb`."""
        o, many = self._organs.index(organ), len(self._observed)
        shape = (1 + len(NAMES) * many, len(self._organs), self._slices)
        held = self._numbers.setdefault(step, torch.full(shape, torch.nan, dtype=torch.float64))
        held[0, o, which] = score.double().cpu()
        held[1:, o, which] = self.numbers(logits, x, which).flatten(0, 1)
        self._dreams[o, which] = x.detach().cpu()
        found = predicted(logits, self._activation)
        for frame in self._frames[organ]:
            if which.start <= frame.n < which.stop:
                at = frame.n - which.start
                mask = predicted_mask(found, self._observed[organ])[at]
                frame.images.append(frame.of(x[at, 0]).cpu().clone())  # which moves on
                frame.masks.append(frame.of(mask).cpu())

    def trajectory(self) -> Trajectory:
        """All of it."""
        steps = tuple(sorted(self._numbers))
        held = torch.stack([self._numbers[step] for step in steps])  # (J, 1 + F·Q, O, N)
        held = held.masked_fill(self._absent, torch.nan)
        split = held[:, 1:].unflatten(1, (len(NAMES), len(self._observed)))
        features = {name: split[:, f].transpose(1, 2) for f, name in enumerate(NAMES)}
        return Trajectory(
            self._organs, tuple(self._observed), steps, held[:, 0], features, self._frames,
            self._dreams, self._absent,
        )  # fmt: skip


def _drawn(there: Tensor) -> list[Frames]:
    """The slices with most of an organ, and of volumes the plane with most of it."""
    area = there.flatten(1).sum(1).tolist()
    order = sorted(range(len(area)), key=lambda n: (-area[n], n))
    chosen = [n for n in order if area[n] > 0][:SHOWN] or order[:1]
    if there.ndim == 3:
        return [Frames(n, None) for n in chosen]
    return [Frames(n, int(there[n].flatten(1).sum(1).argmax())) for n in chosen]
