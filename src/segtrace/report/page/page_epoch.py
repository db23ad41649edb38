"""One epoch as the page holds it: numbers to the last bit, maps in 256 steps, cropped."""

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from segtrace.activation import border
from segtrace.attribution.flow import Status
from segtrace.dice import dice
from segtrace.labelled import DataArray, Dataset
from segtrace.measures.localisation import gains_by_case, over_slices, readable
from segtrace.measures.measure import on_page
from segtrace.report.page.in_planes import Shown
from segtrace.report.page.whole_cases import NAMES, WholeCases
from segtrace.report.pictures.view import array
from segtrace.report.record import Record

TOP_LEVEL = 255
BODY = 0.02
"""Brightness from which a pixel counts as body and not as air."""
MARGIN_PX = 4
BLOCK = 4
"""Crops begin at multiples of this, so that maps can be made coarser by 2 and 4 later."""

Box = tuple[int, int, int, int]
"""(top, left, height, width)."""
Numbers = NDArray[np.float32]


class Measured(Protocol):
    """A record and the measures of its maps."""

    @property
    def record(self) -> Record:
        """What the trace left behind."""
        ...

    @property
    def measures(self) -> Dataset:
        """As :func:`~segtrace.measures.localisation.measure` returns them."""
        ...


@dataclass(frozen=True)
class PageEpoch:
    """An epoch, small enough that a whole training fits in memory.

    Attributes:
        epoch: finished passes; None where unknown.
        numbers: measure -> (S, R, O, N), for :func:`~segtrace.measures.measure.on_page`; of a plane
            those of its volume.
        gains: (S, R, O, case) of the readable maps of each case; its own ratio of sums.
        means: measure -> (S, R, O) over the readable maps, for those of them that the page holds
            over the slices.
        status: (S, R, O, N).
        parts: (O, N) separate parts of the explained region.
        missed: organs that the network finds on none of the slices.
        dice: (O, N) of each slice; NaN where the truth lacks the organ.
        case_dice: (O, N) over the shown slices of the slice's case.
        whole: name -> (O, N) of the slice's whole case, for :data:`~.whole_cases.NAMES`.
        prediction: (N, h, w) channels, or (N, C, h, w) masks, cropped.
        maps: stage -> zlib of the maps with status OK, in the order of (R, O, N), 0..255 of each
            map's maximum.
        boxes: stage -> the crop in cells of its grid.
        others: region -> the same network on the same slices, explained for that region.
        likeness: (S, R, O, N) of such a region's maps to the leading region's; None for that.
    """

    epoch: int | None
    numbers: Mapping[str, Numbers]
    gains: "DataArray"
    means: Mapping[str, Numbers]
    status: NDArray[np.int8]
    parts: NDArray[np.uint8]
    missed: tuple[str, ...]
    dice: Numbers
    case_dice: Numbers
    whole: Mapping[str, Numbers]
    prediction: NDArray[np.uint8] | NDArray[np.bool_]
    maps: Mapping[str, bytes]
    boxes: Mapping[str, Box]
    others: Mapping[str, "PageEpoch"] = field(default_factory=dict)
    likeness: Numbers | None = None

    @classmethod
    def of(
        cls,
        measured: Measured,
        crop: Box,
        whole: WholeCases | None = None,
        seen: Shown | None = None,
    ) -> "PageEpoch":
        """The record's epoch, cropped to a box in pixels of its image.

        Args:
            measured: the record, whose numbers these are.
            crop: the box.
            whole: volumes and Dice of whole cases, as far as known.
            seen: what is shown of the record, where that is at hand.
        """
        record, measures = measured.record, measured.measures
        seen = seen or Shown.by(record)
        flow, scene = seen.record.flow, seen.record.scene
        means = over_slices(measures)
        shown = [one for one in on_page() if one.name in measures]
        size = (flow.prediction.shape[-2], flow.prediction.shape[-1])
        status = array(flow.status)
        boxes = {name: cells_of(crop, size, maps.shape[-2:]) for name, maps in flow.maps.items()}
        return cls(
            epoch=record.epoch,
            numbers={one.name: _floats(measures[one.name])[..., seen.of] for one in shown},
            gains=gains_by_case(readable(measures), record.scene.cases),
            means={one.name: _floats(means[one.name]) for one in shown if one.over_slices},
            status=status,
            parts=_parts(record)[..., seen.of],
            missed=tuple(filter(record.missed, flow.organs)),
            dice=_dice(seen.record),
            case_dice=_case_dice(seen.record),
            whole={
                name: (whole or WholeCases()).table(name, flow.organs, scene.cases)
                for name in NAMES
            },
            prediction=_as_small(cut(array(flow.prediction), crop)),
            maps={
                name: _levels(
                    array(maps),
                    _peaks(record.flow.maps[name], seen),
                    status[s] == Status.OK,
                    boxes[name],
                )
                for s, (name, maps) in enumerate(flow.maps.items())
            },
            boxes=boxes,
        )

    def coarser(self, stage: str, factor: int) -> bytes:
        """The maps of a stage with blocks of ``factor`` x ``factor`` cells averaged, packed."""
        if factor == 1:
            return self.maps[stage]
        height, width = self.boxes[stage][2:]
        levels = np.frombuffer(zlib.decompress(self.maps[stage]), np.uint8)
        whole = levels.reshape(-1, height, width)
        whole = np.pad(whole, ((0, 0), (0, -height % factor), (0, -width % factor)), "edge")
        count, rows, columns = whole.shape  # count may be 0, where no map is sound
        blocks = whole.reshape(count, rows // factor, factor, columns // factor, factor)
        return zlib.compress((blocks.mean((2, 4)) + 0.5).astype(np.uint8).tobytes(), 9)


def packed(values: NDArray) -> str:
    """An array as base64 of zlib of its little-endian bytes."""
    return text(zlib.compress(values.astype(values.dtype.newbyteorder("<")).tobytes(), 9))


def text(data: bytes) -> str:
    """Bytes as base64."""
    return b64encode(data).decode("ascii")


def body(image: Tensor) -> Box:
    """The box around all that is not air on any slice of (N, 1, H, W), with a margin.

    Its sides are multiples of :data:`BLOCK` where the image goes on so far.
    """
    lit = np.asarray((array(image)[:, 0] > BODY).any(0))
    top, height = _span(np.any(lit, axis=1))
    left, width = _span(np.any(lit, axis=0))
    return top, left, height, width


def _span(lit: NDArray[np.bool_]) -> tuple[int, int]:
    at, size = np.flatnonzero(lit), len(lit)
    if not at.size:
        return 0, size
    first = max(0, int(at[0]) - MARGIN_PX) // BLOCK * BLOCK
    end = min(size, -(-(int(at[-1]) + 1 + MARGIN_PX) // BLOCK) * BLOCK)
    return first, end - first


def cells_of(crop: Box, size: tuple[int, int], grid: tuple[int, ...]) -> Box:
    """The cells of a grid that bilinear drawing inside the crop reads, from a multiple of BLOCK."""
    spans = []
    for start, length, pixels, cells in zip(crop[:2], crop[2:], size, grid, strict=True):
        first = max(0, start * cells // pixels - 1) // BLOCK * BLOCK
        end = min(cells, -(-(start + length) * cells // pixels) + 1)
        spans.append((first, end - first))
    (top, height), (left, width) = spans
    return top, left, height, width


def cut(values: NDArray, box: Box) -> NDArray:
    """(…, H, W) -> (…, height, width)."""
    top, left, height, width = box
    return values[..., top : top + height, left : left + width]


def _floats(values: DataArray) -> Numbers:
    return values.values.astype(np.float32)


def _peaks(maps: Tensor, seen: Shown) -> NDArray:
    """The largest value of each map, of a plane that of its volume, and not below 0: (R, O, N)."""
    return array(maps.flatten(3).amax(-1).clamp(min=0))[..., seen.of]


def _levels(maps: NDArray, peaks: NDArray, readable: NDArray[np.bool_], box: Box) -> bytes:
    """Of maps (R, O, N, h, w): the positive part in 256 steps up to the peaks."""
    positive = np.maximum(maps[readable], 0)
    peak = peaks[readable][:, None, None]
    share = positive / np.where(peak > 0, peak, 1)
    return zlib.compress((cut(share, box) * TOP_LEVEL + 0.5).astype(np.uint8).tobytes(), 9)


def _as_small(labels: NDArray) -> NDArray[np.uint8] | NDArray[np.bool_]:
    """Labels in as few bytes as hold them."""
    return labels if labels.dtype == np.bool_ else labels.astype(np.uint8)


def _found(record: Record) -> NDArray[np.bool_]:
    """(O, N, H, W) where each organ of the flow is predicted."""
    return array(record.found(record.flow.organs))


def _there(record: Record) -> NDArray[np.bool_]:
    """(O, N, H, W) where each organ of the flow is; of slices with a truth."""
    return array(record.masks(record.flow.organs))


def _explained(record: Record) -> NDArray[np.bool_] | None:
    """(O, N, H, W) the explained region; None where it is not made of the two masks."""
    found = _found(record)
    if record.region == "pred":
        return found
    if record.region == "border":
        return np.stack([array(border(mask)) for mask in record.found(record.flow.organs)])
    if record.scene.truth is None:
        return None
    truth = _there(record)
    regions = {"gt": truth, "tp": found & truth, "fp": found & ~truth, "fn": truth & ~found}
    return regions.get(record.region)


def _parts(record: Record) -> NDArray[np.uint8]:
    region = _explained(record)
    shape = tuple(record.flow.region_px.shape)
    if region is None:
        return np.zeros(shape, np.uint8)
    counts = [ndimage.label(mask)[1] for mask in region.reshape(-1, *region.shape[2:])]
    return np.minimum(counts, TOP_LEVEL).astype(np.uint8).reshape(shape)


def _overlaps(record: Record) -> Tensor:
    """(3, O, N) pixels of both, of the prediction, of the truth; zeros without a truth."""
    if record.scene.truth is None:
        return torch.zeros(3, *record.flow.region_px.shape, dtype=torch.float64)
    truth, found = _there(record), _found(record)
    areas = np.stack([mask.sum((-1, -2)) for mask in (truth & found, found, truth)])
    return torch.from_numpy(areas).double()


def _dice(record: Record) -> Numbers:
    return _of(_overlaps(record))


def _case_dice(record: Record) -> Numbers:
    cases = np.array(record.scene.cases)
    same = torch.from_numpy(cases[:, None] == cases).double()
    return _of(_overlaps(record) @ same)


def _of(areas: Tensor) -> Numbers:
    return dice(*areas).numpy().astype(np.float32)
