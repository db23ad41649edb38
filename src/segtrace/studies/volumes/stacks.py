"""Maps of all slices of a volume, on the disk until they are written as NIfTI."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from segtrace.attribution.flow import Status
from segtrace.measures.localisation import readable
from segtrace.report.files import writing
from segtrace.tracking.explained import Explained


class Stacks:
    """Arrays over all slices of a volume, one file each, open to several processes.

    Args:
        folder: for the files.
        like: slices of it, explained: one has the shapes of all.
        depth: slices.
    """

    table = "slices.csv"

    def __init__(self, folder: Path, like: Explained, depth: int) -> None:
        self.folder, self.depth = folder, depth
        flow = like.record.flow
        self.stages, self.rules, self.organs = flow.stages, flow.rules, flow.organs
        self.measures = tuple(map(str, like.measures))
        self.shapes = {name: tuple(values.shape) for name, values in self._parts(like)}

    def _parts(self, explained: Explained) -> Iterator[tuple[str, NDArray[Any]]]:
        """(name, array) with the slices in front."""
        flow = explained.record.flow
        measured = readable(explained.measures)
        for s, stage in enumerate(flow.stages):
            yield f"map_{s}", flow.maps[stage].float().movedim(2, 0).numpy()  # (n, R, O, h, w)
        yield "status", flow.status.movedim(-1, 0).numpy()  # (n, S, R, O)
        yield "region_px", flow.region_px.float().movedim(-1, 0).numpy()  # (n, O)
        yield "score", flow.scores.float().movedim(-1, 0).numpy()
        # (n, H, W), or (n, C, H, W)
        yield "prediction", flow.prediction.to(dtype=flow.status.dtype).numpy()
        for name in self.measures:
            yield f"measure_{name}", measured[name].transpose("slice", ...).values

    def create(self) -> None:
        """Make the files, empty."""
        for name, shape in self.shapes.items():
            kind = np.int8 if name in ("status", "prediction") else np.float32
            with writing(self.folder):
                open_memmap(self._path(name), "w+", kind, (self.depth, *shape[1:])).flush()

    def put(self, indices: Sequence[int], explained: Explained) -> None:
        """Write the slices with these numbers."""
        for name, values in self._parts(explained):
            stack = open_memmap(self._path(name), "r+")
            stack[list(indices)] = values
            stack.flush()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return open_memmap(self._path(name), "r")

    def readable(self, s: int, r: int, o: int) -> NDArray[np.float32]:
        """(D, h, w) the positive part of the maps of a stage, a rule and an organ, by number.

        Nothing in slices whose map may not be read.
        """
        maps = np.maximum(np.nan_to_num(self[f"map_{s}"][:, r, o]), 0)
        maps[self["status"][:, s, r, o] >= Status.GAP_DEGENERATE] = 0
        return maps

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"
