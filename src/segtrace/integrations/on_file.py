"""Maps of windows as NIfTI on the voxels of the image: those of all windows in one file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrace.attribution.flow import Status
from segtrace.integrations.foreign import Case, Foreign
from segtrace.names import file_name
from segtrace.progress import counted, over
from segtrace.report.page.page import Page
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.tables import save_table
from segtrace.report.volumes.nifti import laid, save_shares
from segtrace.tracking.explained import Explained

MAPS = "maps"
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class OnFile:
    """Maps and prediction of an image, on the voxels of its file.

    Attributes:
        explained: the maps of its windows.
        foreign: the network.
        case: the image.
        logits: of all of it.
    """

    explained: Explained
    foreign: Foreign
    case: Case
    logits: Tensor

    def write(self, folder: Path) -> None:
        """Write ``prediction.nii.gz`` with its tables, and the maps of the leading rule."""
        self.foreign.save_prediction(self.case, self.logits, folder)
        save_windows(folder, self.explained.record)

    def show(self, page: Page) -> None:
        """Nothing more: the page has the maps."""


def save_windows(folder: Path, record: Record) -> None:
    """Write ``maps/{organ}_{stage}_{rule}.nii.gz`` by the leading rule, and ``maps.csv``.

    Values are the positive part as a share of the largest value in any window, which ``maps.csv``
    has. Where windows overlap the larger one stands; 0 where there is none, or its map may not be
    read. A window that goes beyond the image, where it was padded with zeros, goes as far in the
    file.

    Args:
        folder: where to.
        record: of windows of one image, that know where they lie.

    Raises:
        InputError: a file cannot be written.
    """
    record = _of_planes(record)
    flow, scene = record.flow, record.scene
    if scene.affines is None:
        raise TypeError("windows of no known file")
    rule, size = flow.rules[0], scene.file_sizes[0]
    parts = [_part(record, n) for n in range(len(scene.cases))]
    rows = []
    readable_in = {
        (organ, stage): (flow.status[s, 0, o] == Status.OK).nonzero().flatten().tolist()
        for (o, organ), (s, stage) in product(enumerate(flow.organs), enumerate(flow.stages))
    }
    pairs = [pair for pair, readable in readable_in.items() if readable]
    for organ, stage in over(pairs, f"Writing {counted(len(pairs), 'map')} on the image's voxels"):
        at, readable = (0, flow.organs.index(organ)), readable_in[organ, stage]
        maps = {n: np.maximum(array(flow.maps[stage][(*at, n)]), 0) for n in readable}
        largest = max((float(one.max()) for one in maps.values()), default=0.0)
        if not largest:
            continue
        whole = np.zeros(size, np.float32)
        for n, values in maps.items():
            own, box = parts[n]
            np.maximum(whole[box], laid(values / largest, own, n), out=whole[box])
        name = f"{file_name(f'{organ}_{stage}_{rule}')}.nii.gz"
        words = f"{organ} {stage} {rule}"
        save_shares(folder / MAPS / name, whole, array(scene.affines[0, 1]), words)
        rows.append({"organ": organ, "rule": rule, "stage": stage, "windows": len(readable),
                     "largest": largest, "file": f"{MAPS}/{name}"})  # fmt: skip
    save_table(folder / "maps.csv", rows)


def _of_planes(record: Record) -> Record:
    """Windows in a plane as volumes of one plane."""
    if record.scene.of_volumes:
        return record
    maps = {stage: one[..., None, :, :] for stage, one in record.flow.maps.items()}
    scene = replace(record.scene, image=record.scene.image[:, :, None])
    return replace(record, flow=replace(record.flow, maps=maps), scene=scene)


def _part(record: Record, n: int) -> tuple[Record, Box]:
    """The record, as if the file of the nth window were the box around the window alone."""
    scene = record.scene
    if scene.affines is None:
        raise TypeError("windows of no known file")
    mine, file = (array(one) for one in scene.affines[n])
    box = _box(np.linalg.inv(file) @ mine, scene.image.shape[2:], scene.file_sizes[n])
    moved = np.eye(4)
    moved[:3, 3] = [side.start for side in box]
    affines = scene.affines.clone()
    affines[n, 1] = torch.from_numpy(file @ moved)
    sizes = list(scene.file_sizes)
    sizes[n] = tuple(side.stop - side.start for side in box)
    return replace(record, scene=replace(scene, affines=affines, file_sizes=tuple(sizes))), box


def _box(to_file: NDArray[np.float64], shape: Sequence[int], size: Sequence[int]) -> Box:
    """The voxels of the file around a window, one more on each side."""
    ends = [(-0.5, n - 0.5) for n in shape]
    corners = np.array([(*corner, 1) for corner in product(*ends)]).T
    low, high = (found(to_file[:3] @ corners, axis=1) for found in (np.min, np.max))
    starts = np.clip(np.floor(low), 0, np.array(size) - 1).astype(int)
    stops = np.clip(np.ceil(high) + 1, starts + 1, size).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    return x, y, z
