"""A flow with all that is needed to draw it again, as named arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrace.activation import SOFTMAX, Organ, OrganLike, organ_of
from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import by_name
from segtrace.errors import InputError
from segtrace.measures import energy
from segtrace.names import file_name
from segtrace.report.combined import Combined
from segtrace.report.scene import Scene

WORDS = ("rules", "organs", "stages")
FACTS = ("score", "activation")
APART = ("maps", "methods", "estimates", "estimated")
"""What is kept otherwise: maps by their stages, methods by their names, estimates as a table."""
TENSORS = tuple(f.name for f in fields(Flow) if f.name not in {*WORDS, *FACTS, *APART})


@dataclass(frozen=True)
class Record:
    """What one trace left behind.

    Attributes:
        flow: the maps and what qualifies them.
        scene: the slices they lie on.
        region: the region that was explained.
        epoch: finished passes of the network; None where unknown.
        aggregate: a map over several stages, for a last column of pictures; not among the arrays,
            since the maps say it.
        smooth: pictures resize a map to the image's grid before they rectify it, as the program of
            Vinogradova et al. 2020 does; not among the arrays either.
        whole: of slices that are planes of volumes, the record of these, and of which of them each
            is; gain and colours are theirs.
    """

    flow: Flow
    scene: Scene
    region: str
    epoch: int | None
    aggregate: Combined | None = None
    smooth: bool = False
    whole: "tuple[Record, list[int]] | None" = None

    @property
    def drawn(self) -> str:
        """How the pictures show a map, for a caption."""
        if self.smooth:
            return ("resized to the image's grid (bilinear) and rectified then, which blurs: a "
                    "stage has the cells that are named beside it")  # fmt: skip
        return "rectified and shown at their own resolution, each cell as a cell"

    @cached_property
    def organs_here(self) -> tuple[str, ...]:
        """Organs of which some slice has a region to explain; of others there is no map to draw."""
        here = self.flow.region_px.any(1).tolist()
        return tuple(organ for organ, held in zip(self.flow.organs, here, strict=True) if held)

    @cached_property
    def gain(self) -> Tensor:
        """(S, R, O, N) how far the evidence lies on the organ, as in measures.csv."""
        if self.whole is not None:
            volumes, of = self.whole
            return volumes.gain[..., of]
        masks = self.masks(self.flow.organs)
        area = energy.area(masks.float(), self.flow.axes)
        gains = []
        for maps in self.flow.maps.values():
            organs = energy.Organs.on(masks.to(maps.dtype), maps.shape[3:])
            gains.append(energy.StageMaps(maps, organs, area).gain)
        return torch.stack(gains)

    def peak(self, stage: str, rule: int, organ: int, n: int) -> float:
        """The largest value of a map, which is drawn brightest; of a plane that of its volume."""
        if self.whole is not None:
            volumes, of = self.whole
            return volumes.peak(stage, rule, organ, of[n])
        return float(self.flow.maps[stage][rule, organ, n].max())

    def masks(self, organs: Sequence[str]) -> Tensor:
        """(O, N, *image) bool: where the truth, or else the prediction, has the organs."""
        if self.scene.truth is None:
            return self.found(organs)
        return self._stacked([self.scene.there(organ) for organ in organs])

    def found(self, organs: Sequence[str]) -> Tensor:
        """(O, N, *image) bool: where the prediction has the organs."""
        return self._stacked([self.scene.found(organ, self.flow.prediction) for organ in organs])

    def _stacked(self, masks: Sequence[Tensor | None]) -> Tensor:
        """Those of organs without a channel are empty."""
        shape = (len(self.scene.cases), *self.flow.prediction.shape[-self.flow.axes :])
        nowhere = torch.zeros(shape, dtype=torch.bool)
        return torch.stack([nowhere if mask is None else mask for mask in masks])

    def missed(self, organ: str) -> bool:
        """Whether the network finds the organ on none of the slices."""
        return self.scene.missed(organ, self.flow.prediction)


def pack(record: Record, *, embed: bool = True) -> dict[str, NDArray]:
    """The record as arrays that load without pickle: one per stage, then the rest by name.

    The array of a stage is named by its :func:`~segtrace.names.file_name`.

    Args:
        record: what to pack.
        embed: include the CT slices and their labels. They are patient images; without them the
            reader must bring them along to draw the cells again.

    Raises:
        InputError: if a stage has the name of another array.
    """
    flow, scene = record.flow, record.scene
    named = {
        **{
            name: values.detach().cpu().numpy()
            for name in TENSORS
            if (values := getattr(flow, name)) is not None
        },
        "status_names": np.array([status.label for status in Status]),
        **{name: np.array(getattr(flow, name), dtype=str) for name in WORDS},
        **{name: np.array(getattr(flow, name), dtype=str) for name in FACTS},
        "region": np.array(record.region),
        "epoch": np.array(-1 if record.epoch is None else record.epoch),
        "cases": np.array(scene.cases, dtype=str),
        "slices": np.array(scene.slices, dtype=np.int64),
        "labels": np.array(list(scene.channels), dtype=str),
        **_numbers(scene),
        "training": np.array(scene.training),
        "phantom": np.array(scene.phantom),
        "sides_known": np.array(scene.sides_known),
        "hounsfield_known": np.array(scene.hounsfield_known),
        "taught_by_phantom": np.array(scene.taught_by_phantom),
        "by_file": np.array(scene.by_file),
    }
    if scene.spacing is not None:
        named["spacing"] = scene.spacing.detach().cpu().numpy()
    if embed:
        named["image"] = scene.image.detach().cpu().numpy()
        if scene.truth is not None:
            named["truth"] = scene.truth.detach().cpu().numpy()
    taken = [stage for stage in flow.stages if stage in {*named, "image", "truth", "spacing"}]
    if taken:
        raise InputError(f"a stage cannot be saved under the name {taken[0]!r}; rename the stage")
    maps = {
        file_name(stage, flow.stages): maps.detach().cpu().numpy()
        for stage, maps in flow.maps.items()
    }
    return maps | named


def unpack(arrays: Mapping[str, NDArray]) -> Record:
    """The record that :func:`pack` was given, with the same bits.

    Slices that were not embedded come back black and without truth.
    """
    stages = tuple(str(name) for name in arrays["stages"])
    rules = tuple(str(name) for name in arrays["rules"])
    numbers: dict[str, Any] = {
        name: torch.from_numpy(arrays[name]) for name in TENSORS if name in arrays
    }
    flow = Flow(
        maps={stage: torch.from_numpy(arrays[file_name(stage, stages)]) for stage in stages},
        **numbers,
        rules=rules,
        methods=by_name(rules),
        organs=tuple(str(name) for name in arrays["organs"]),
        score=str(arrays["score"]),
        activation=str(arrays.get("activation", SOFTMAX)),
    )
    scene = Scene(
        image=torch.zeros(len(flow.prediction), 1, *flow.prediction.shape[-flow.axes :]),
        cases=tuple(str(name) for name in arrays["cases"]),
        slices=tuple(int(index) for index in arrays["slices"]),
        channels=_channels(arrays),
        training=bool(arrays["training"]),
        phantom=bool(arrays["phantom"]),
        sides_known=bool(arrays.get("sides_known", False)),
        hounsfield_known=bool(arrays.get("hounsfield_known", False)),
        taught_by_phantom=bool(arrays.get("taught_by_phantom", False)),
        by_file=bool(arrays.get("by_file", False)),
    )
    if "spacing" in arrays:
        scene = replace(scene, spacing=torch.from_numpy(arrays["spacing"]))
    if "image" in arrays:
        scene = replace(scene, image=torch.from_numpy(arrays["image"]))
    if "truth" in arrays:
        scene = replace(scene, truth=torch.from_numpy(arrays["truth"]))
    epoch = int(arrays["epoch"])
    return Record(flow, scene, str(arrays["region"]), None if epoch < 0 else epoch)


def _numbers(scene: Scene) -> dict[str, NDArray]:
    """The organs' channels, and where they are others their numbers in a label map."""
    organs = scene.channels.values()
    if not scene.apart:
        return {"channels": np.array([*organs], dtype=np.int64)}
    both = [organ_of(organ, SOFTMAX) for organ in organs]
    return {
        "channels": np.array([organ.channel for organ in both], dtype=np.int64),
        "label_numbers": np.array([organ.label for organ in both], dtype=np.int64),
    }


def _channels(arrays: Mapping[str, NDArray]) -> dict[str, OrganLike]:
    names, channels = map(str, arrays["labels"]), map(int, arrays["channels"])
    if "label_numbers" not in arrays:
        return dict(zip(names, channels, strict=True))
    return dict(zip(names, map(Organ, channels, map(int, arrays["label_numbers"])), strict=True))
