"""A folder of images without labels: each explained in a folder of its own, what is whole once."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segtrace.data.files.nifti import FIRST, channel_files, stem
from segtrace.errors import InputError, is_full, printable
from segtrace.names import file_name
from segtrace.processes import side_by_side
from segtrace.progress import Steps, counted, say
from segtrace.report.captions import plain
from segtrace.report.files import remove, save_text, sha256, version_of
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Table
from segtrace.report.tables import read_table, save_table
from segtrace.studies.volumes.predictions import ORGANS

ENDINGS = (".nii", ".nii.gz")
WHOLE = "whole.json"
"""Written last: whose results the folder of an image holds."""
HIDDEN = ("file", "folder", "why")
"""Columns of ``images.csv`` that name files, which are no business of a page's readers."""
DONE, BEFORE, FAILED = "explained", "explained before", "failed"


def images_in(folder: Path, channels: int = 1) -> list[Path]:
    """The NIfTI files of a folder, in order; none for what is no folder.

    Of images of several channels the first ones, whose names end in ``_0000``.

    Raises:
        InputError: a folder without such files; two files whose results would lie in one folder.
    """
    if not folder.is_dir():
        return []
    named = [path for path in sorted(folder.iterdir()) if _is_called_image(path)]
    found = [path for path in named if path.is_file()]
    if not found:
        why = f" ({printable(named[0].name)} is no plain file)" if named else ""
        raise InputError(
            f"image={folder}: no file there ends in {' or '.join(ENDINGS)}{why}; name a NIfTI file "
            "(dcm2niix makes one of a DICOM series) or a folder of them"
        )
    if channels > 1:
        found = [path for path in found if stem(path).endswith(FIRST)]
        if not found:
            raise InputError(
                f"image={folder}: the network takes {channels} channels, and no name there ends in "
                f"{FIRST}; call the files CASE{FIRST}.nii.gz to CASE_{channels - 1:04d}.nii.gz"
            )
    names: dict[str, Path] = {}
    for path in found:
        if (other := names.setdefault(_name(path), path)) is not path:
            raise InputError(
                f"image={folder}: {other.name} and {path.name} are of one name; move one"
            )
    return found


def _is_called_image(path: Path) -> bool:
    return path.name.endswith(ENDINGS) and not path.name.startswith(".")


def _name(path: Path) -> str:
    return file_name(stem(path))


def each_image(
    images: Sequence[Path],
    folder: Path,
    made_by: Sequence[Path],
    explain: Callable[[Path, Path], None],
    channels: int = 1,
    processes: int = 1,
) -> Iterator["Explained"]:
    """Explain every image, but for those whose results are whole already.

    They are whole where image and checkpoints have the bytes they had, and segtrace its version.
    One that cannot be read, or in which the network finds nothing, is told of, and the others go
    on.

    Args:
        images: the files.
        folder: of all results; each image has one below it, of its name.
        made_by: the checkpoints.
        explain: (image, its folder) -> all of its results written.
        channels: of an image.
        processes: that take an image each; changes nothing in the results, with as many threads.

    Raises:
        InputError: none of them could be explained.
    """
    say(
        f"{counted(len(images), 'image')}, each in a folder of its own; where this is broken off, "
        f"the same command with hydra.run.dir={folder} goes on"
    )
    by, rows = [sha256(path) for path in made_by], []
    keys = {path: _key(path, channels, by) for path in images}
    todo = [
        (path, folder / _name(path), key)
        for path, key in keys.items()
        if _read(folder / _name(path)) != key
    ]
    if kept := len(images) - len(todo):
        say(f"{kept} of {counted(len(images), 'image')} explained before, by these weights: kept.")
    if others := [what for _, place, key in todo if (what := _others(place, key))]:
        told = ", ".join(dict.fromkeys(one for what in others for one in what))
        say(f"{counted(len(others), 'image')} explained before and now anew, with other {told}.")
    steps, asked = Steps(len(todo), processes), {path for path, *_ in todo}
    try:
        with side_by_side(partial(_tried, explain), todo, processes, "processes=1") as tried:
            for number, path in enumerate(images, 1):
                state, why, place = BEFORE, "", folder / _name(path)
                if path in asked:
                    steps.next(f"Image {number} of {len(images)}: {printable(path.name)}")
                    state, why = next(tried)
                rows.append({"image": number, "file": path.name, "folder": place.name,
                             "state": state, "why": why, **_volumes(place)})  # fmt: skip
    finally:  # a process that is ended from outside leaves its own
        for _, place, _ in todo:
            remove(_draft(place))
    failed = [row for row in rows if row["state"] == FAILED]
    if failed and len(failed) == len(rows):
        raise InputError(f"none of {counted(len(rows), 'image')} could be explained: {why}")
    if failed:
        say(f"{counted(len(failed), 'image')} of {len(rows)} failed, see images.csv")
    yield Explained(rows)


def _tried(explain: Callable[[Path, Path], None], one: tuple[Path, Path, str]) -> tuple[str, str]:
    """What became of an image, and why; its folder appears whole or not at all."""
    path, place, key = one
    draft = _draft(place)
    try:
        if place.exists() and _read(place) is None:
            raise InputError(f"{place} is there already and holds no such results; move it away")
        remove(draft)
        explain(path, draft)
        save_text(draft / WHOLE, key)
        remove(place)
        draft.rename(place)
    except InputError as error:
        if is_full(error.__cause__):  # as it will be for all others
            raise
        say(f"{printable(path.name)} failed: {error}")
        return FAILED, str(error)
    finally:
        remove(draft)
    return DONE, ""


def _draft(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def whole_in(folder: Path) -> int:
    """Images whose results lie whole in a folder."""
    return len(list(folder.glob(f"*/{WHOLE}")))


def _key(path: Path, channels: int, by: Sequence[str]) -> str:
    """By the bytes of all that its results are made of; one that lacks a file is like no other."""
    try:
        files = [sha256(file) for file in channel_files(path, channels)]
    except InputError:
        files = [sha256(path)]
    made_of = {
        "image": "-".join(files),
        "checkpoints": list(by),
        "version of segtrace": str(version_of("segtrace")),
    }
    return json.dumps(made_of) + "\n"


def _others(place: Path, key: str) -> list[str]:
    """What was another when the image was explained; nothing of one that was not, or not whole."""
    try:
        before = json.loads(_read(place) or "{}")
        return [what for what, now in json.loads(key).items() if before and before[what] != now]
    except (ValueError, KeyError, TypeError):
        return []


def _read(place: Path) -> str | None:
    try:
        return (place / WHOLE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _volumes(place: Path) -> dict[str, str]:
    """Organ -> ml, in words; nothing where no prediction tells."""
    return {f"{row['organ']} ml": row["ml"] for row in read_table(place / ORGANS)}


@dataclass(frozen=True)
class Explained:
    """What became of the images of a folder.

    Attributes:
        rows: of ``images.csv``: number, file, folder, state, why it failed, and the volume of each
            organ as it is predicted.
    """

    rows: list[dict[str, object]]

    def write(self, folder: Path) -> None:
        """``images.csv``."""
        save_table(folder / "images.csv", self.rows)

    def show(self, page: Page) -> None:
        """How many, and which failed; without the files' names, which may be people's."""
        states = [row["state"] for row in self.rows]
        told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        words = (
            "Each image has a page of its own, index.html in its folder, beside prediction.nii.gz "
            "in the image's own grid and what was explained. images.csv says which folder is whose."
        )
        columns = dict.fromkeys(name for row in self.rows for name in row if name not in HIDDEN)
        shown = [{plain(name): row.get(name, "") for name in columns} for row in self.rows]
        table = Table.of("What the network takes for each organ, in ml, where it is known.", shown)
        heading = f"{counted(len(self.rows), 'image')}: {told}"
        page.sections.append(Section(heading, (words,), (), (table,)))
