"""The files of a whole volume: NIfTI that tells what it is, tables, and how to open it all."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segtrace.attribution.flow import Status
from segtrace.data.files.nifti import Volume
from segtrace.errors import InputError
from segtrace.names import file_name
from segtrace.report.captions import mark_words
from segtrace.report.files import save_manifest
from segtrace.report.tables import save_table
from segtrace.studies.inputs.cautions import IN_SHORT
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.nifti import save_maps
from segtrace.studies.volumes.predictions import save_predictions
from segtrace.studies.volumes.viewers import PREDICTIONS, save_for_viewers


class Stacks(Protocol):
    """Maps and numbers of all slices of a volume, or of a volume as one."""

    stages: tuple[str, ...]
    rules: tuple[str, ...]
    organs: tuple[str, ...]
    measures: tuple[str, ...]
    table: str
    """The file with their numbers."""

    @property
    def depth(self) -> int:
        """Slices; 1 of a volume that was explained as one."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        """``status``, ``region_px``, ``score``, ``measure_…`` over depth first; ``prediction``."""

    def readable(self, s: int, r: int, o: int) -> NDArray[np.float32]:
        """(D, h, w) the positive part of the maps of a stage, a rule and an organ, by number."""


class Back(Protocol):
    """What was done to a file's voxels, so that it can be undone."""

    def to_source(
        self, stack: NDArray[Any], mode: Literal["nearest", "linear"] = "linear"
    ) -> NDArray[Any]:
        """(D, h, w) that covers what the network saw -> the file's own grid (i, j, k)."""


def write_volume(
    folder: Path,
    stacks: Stacks,
    trained: TrainedNetwork,
    volume: Volume,
    geometry: Back,
    one_file_an_organ: bool = False,
) -> None:
    """Write everything in the source image's own grid.

    ``prediction.nii.gz``: channels of the network, named and coloured by the tables beside it; of
    organs that may overlap their label numbers, a later one over an earlier, and whole, each in a
    file of its own, ``predictions/{organ}.nii.gz``.
    ``maps/{rule}/{organ}/{organ}_{stage}_{rule}.nii.gz``: the positive part of the map as a share
    of its largest value, 0 in slices where it may not be read. A viewer shows the file's name
    alone, so that tells all; folders keep names apart that are one when put together. With
    ``one_file_an_organ`` it is ``maps/{rule}/{organ}_{rule}.nii.gz`` with a volume a stage. Organs
    that no slice has a region of are left out. ``maps.csv``: a row a map, with its file and its
    largest value. ``slices.csv``: a row a slice, organ, rule and stage; of a volume that was
    explained as one ``volume.csv``, without slices. ``manifest.json``: numbers
    of the labels, and what made the files. ``README.txt``: how to open them.

    Raises:
        InputError: no organ in any slice, or the files cannot be written.
    """
    found = [o for o in range(len(stacks.organs)) if stacks["region_px"][:, o].any()]
    if not found:
        raise nothing_in(volume, trained.settings.region, stacks.organs)
    cautions = trained.facts.get("cautions", ())
    mark = "".join(f", {IN_SHORT[caution]}" for caution in cautions if caution in IN_SHORT)
    stack, channels = stacks["prediction"], trained.channels
    back = partial(geometry.to_source, mode="nearest")
    numbers = save_predictions(folder, stack, channels, volume, mark, back)
    rows = [
        row
        for o in found
        for r in range(len(stacks.rules))
        for row in _write_maps(folder, stacks, geometry, volume, mark, (r, o), one_file_an_organ)
    ]
    save_table(folder / "maps.csv", rows)
    save_table(folder / stacks.table, _rows(stacks, volume.name))
    facts = {"labels": numbers, "explain": trained.settings.to_plain()}
    save_manifest(folder / "manifest.json", {**trained.facts, **facts})
    largest = max(found, key=lambda o: float(stacks["region_px"][:, o].sum()))
    # The last stage redraws the prediction; the one before it shows what there is to see.
    stage = None if one_file_an_organ else max(0, len(stacks.stages) - 2)
    save_for_viewers(
        folder,
        numbers,
        _map_file(stacks, 0, largest, stage),
        stacks.stages if one_file_an_organ else (),
        [*mark_words(volume.phantom, training=False), *cautions],
        apart=(folder / PREDICTIONS).is_dir(),
    )


def nothing_in(volume: Volume, region: str, organs: Sequence[str]) -> InputError:
    """The error for a volume in which there is nothing to explain."""
    where, instead = volume.name, "say region=gt"
    if volume.label is None:
        where, instead = volume.where, "is it an abdominal CT in HU?"
    return InputError(
        f"{where}: region {region} has none of the organs ({', '.join(organs)}) in any slice; "
        f"{instead}"
    )


def _map_file(stacks: Stacks, r: int, o: int, s: int | None) -> Path:
    """Of a rule, an organ and a stage, by number; of all stages: ``None``."""
    rule, organ = stacks.rules[r], stacks.organs[o]
    folder = Path("maps", file_name(rule, stacks.rules))
    if s is None:
        names = [f"{organ}_{rule}" for organ in stacks.organs]
        return folder / f"{file_name(names[o], names)}.nii.gz"
    names = [f"{organ}_{stage}_{rule}" for stage in stacks.stages]
    return folder / file_name(organ, stacks.organs) / f"{file_name(names[s], names)}.nii.gz"


def _write_maps(
    folder: Path,
    stacks: Stacks,
    geometry: Back,
    volume: Volume,
    mark: str,
    place: tuple[int, int],
    together: bool,
) -> list[dict[str, Any]]:
    """Write the maps of all stages by a rule, for an organ; their rows of ``maps.csv``."""
    r, o = place
    rule, organ, stages = stacks.rules[r], stacks.organs[o], stacks.stages
    largest = [float(stacks.readable(s, r, o).max()) for s in range(len(stages))]
    files = [_map_file(stacks, r, o, None if together else s) for s in range(len(stages))]

    def shares(s: int) -> NDArray[np.float32]:
        maps: NDArray[np.float32] = stacks.readable(s, r, o) / np.float32(largest[s] or 1)
        return geometry.to_source(maps)

    if together:
        words = f"{mark}: {organ}, a volume a stage, {rule}"
        save_maps(folder / files[0], map(shares, range(len(stages))), volume, words, stages)
    else:
        for s, stage in enumerate(stages):
            words = f"{mark}: {organ} {stage} {rule}"
            save_maps(folder / files[s], [shares(s)], volume, words)
    return [
        {
            "organ": organ,
            "rule": rule,
            "stage": stage,
            "file": files[s].as_posix(),
            "volume": s if together else 0,
            "largest": largest[s],
        }
        for s, stage in enumerate(stages)
    ]


def _rows(stacks: Stacks, case: str) -> list[dict[str, Any]]:
    status, pixels = stacks["status"].tolist(), stacks["region_px"].tolist()
    scores = stacks["score"].tolist()
    measured = {name: stacks[f"measure_{name}"].tolist() for name in stacks.measures}
    return [
        {
            "case": case,
            **({"slice": n} if stacks.depth > 1 else {}),
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
