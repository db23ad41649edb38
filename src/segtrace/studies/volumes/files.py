"""What a whole volume leaves behind: stacks of maps on the disk, then NIfTI files and a table."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from segtrace.attribution.flow import Flow, Status
from segtrace.data.files.geometry import Geometry
from segtrace.data.files.nifti import PHANTOM_MARK, Volume
from segtrace.errors import InputError, printable
from segtrace.measures.localisation import readable
from segtrace.names import file_name
from segtrace.report.files import save_manifest, writing
from segtrace.report.tables import save_table
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.explained import Explained


class Stacks:
    """Arrays over all slices of a volume, one file each, open to several processes.

    Args:
        folder: for the files.
        like: one slice, explained: it has the shapes of all.
        depth: slices.
    """

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
        yield "prediction", flow.prediction.to(dtype=flow.status.dtype).numpy()  # (n, H, W)
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

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def check_room(folder: Path, shape: tuple[int, int, int], flow: Flow) -> None:
    """Say how much is coming.

    Raises:
        InputError: more than the disk has left.
    """
    kinds = len(flow.stages) * len(flow.rules) * len(flow.organs)
    native = sum(maps[..., 0, 0].numel() * maps.shape[-1] * maps.shape[-2]
                 for maps in flow.maps.values())  # fmt: skip
    need = kinds * int(np.prod(shape)) * 2 + native * max(shape) * 4
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    print(f"{kinds} maps, at most {need / 2**30:.1f} GiB before they are packed")
    if need > free:
        raise InputError(
            f"{folder}: {free / 2**30:.1f} GiB free, {need / 2**30:.1f} GiB needed for {kinds} "
            "maps; name fewer with stages=[…] organs=[…] rules=[…]"
        )


def write_volume(
    folder: Path, stacks: Stacks, trained: TrainedNetwork, volume: Volume, geometry: Geometry
) -> None:
    """Write everything in the source image's own grid.

    ``prediction.nii.gz``: channels of the network. ``{rule}/{organ}/{stage}.nii.gz``: the positive
    part of the map, 0 in slices where it may not be read (why stands in ``slices.csv``). Organs
    that no slice has a region of are left out. ``slices.csv``: a row a slice, organ, rule and
    stage. ``manifest.json``: numbers of the labels, and what made the files.

    Raises:
        InputError: no organ in any slice, or the files cannot be written.
    """
    found = [o for o in range(len(stacks.organs)) if stacks["region_px"][:, o].any()]
    if not found:
        raise InputError(
            f"{volume.where}: region {trained.settings.region} has none of the organs "
            f"({', '.join(stacks.organs)}) in any slice; is it an abdominal CT in HU?"
        )
    prediction = stacks["prediction"].astype(np.uint8)
    _save(folder / "prediction.nii.gz", geometry.to_source(prediction, "nearest"), volume, "")
    for o in found:
        for r, rule in enumerate(stacks.rules):
            for s, stage in enumerate(stacks.stages):
                name = f"{file_name(stage, stacks.stages)}.nii.gz"
                organ = file_name(stacks.organs[o], stacks.organs)
                path = folder / file_name(rule) / organ / name
                maps = geometry.to_source(_sound(stacks, s, r, o))
                _save(path, maps, volume, f"{rule} {stacks.organs[o]} {stage}")
    save_table(folder / "slices.csv", _rows(stacks, volume.name))
    facts = {"labels": dict(trained.channels), "explain": trained.settings.to_plain()}
    save_manifest(folder / "manifest.json", {**trained.facts, **facts})


def _sound(stacks: Stacks, s: int, r: int, o: int) -> NDArray[np.float32]:
    """(D, h, w) the positive maps; nothing where a map may not be read."""
    status = stacks["status"][:, s, r, o]
    maps = np.maximum(np.nan_to_num(stacks[f"map_{s}"][:, r, o]), 0)
    maps[status >= Status.GAP_DEGENERATE] = 0
    return maps


def _save(path: Path, values: NDArray[Any], volume: Volume, what: str) -> None:
    image = nibabel.Nifti1Image(values, np.array(volume.grid.affine))
    # Maps are packed as 16-bit steps of their range: NIfTI has no half precision.
    image.set_data_dtype(np.uint8 if values.dtype == np.uint8 else np.int16)
    mark = PHANTOM_MARK if volume.phantom else "segtrace"
    image.header["descrip"] = printable(f"{mark} {what}").encode()[:79]
    image.header.set_xyzt_units("mm")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(_as_sure_as(volume, image), path)


def _as_sure_as(volume: Volume, image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """The image with no more said of where it lies than the volume's own file says.

    Else a viewer would lay it elsewhere: what stands for an affine that is not given differs
    between viewers.
    """
    if not volume.placed:
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    image.header.set_xyzt_units(volume.unit)
    return image


def _rows(stacks: Stacks, case: str) -> list[dict[str, Any]]:
    status, pixels = stacks["status"].tolist(), stacks["region_px"].tolist()
    scores = stacks["score"].tolist()
    measured = {name: stacks[f"measure_{name}"].tolist() for name in stacks.measures}
    return [
        {
            "case": case,
            "slice": n,
            "organ": organ,
            "rule": rule,
            "stage": stage,
            "status": Status(status[n][s][r][o]).label,
            "region_px": int(pixels[n][o]),
            "score": scores[n][o],
            **{name: values[n][s][r][o] for name, values in measured.items()},
        }
        for n in range(stacks.depth)
        for o, organ in enumerate(stacks.organs)
        for r, rule in enumerate(stacks.rules)
        for s, stage in enumerate(stacks.stages)
    ]
