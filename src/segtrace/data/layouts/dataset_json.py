"""What a ``dataset.json`` says: of nnU-Net, of the Decathlon and AMOS, and MONAI's datalists.

The file is data: names become organs' or are compared, and no path in it leads out of its folder.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from segtrace.errors import InputError, shown, why

MOST = 64 * 2**20
"""Bytes of such a file."""
_PARTS = {"training": "train", "validation": "val"}
_GIVE = "give data.labels, e.g. 'data.labels={liver: 1, spleen: 2}'"


@dataclass(frozen=True)
class DatasetJson:
    """What such a file says.

    Attributes:
        path: the file.
        labels: organ -> number; None where it does not say.
        channels: names of the input channels; empty where it does not say.
        ending: of the files, for where they are not listed.
        parts: ``train`` and ``val`` -> case -> image, channel by channel, and label; empty where
            none is listed.
    """

    path: Path
    labels: dict[str, int] | None
    channels: tuple[str, ...]
    ending: str
    parts: Mapping[str, Mapping[str, tuple[Path, ...]]]


def read_dataset_json(path: Path, labelled: bool = False) -> DatasetJson:
    """The file, checked.

    Args:
        path: the file.
        labelled: the user gives the labels, so that what it says of them is not read.

    Raises:
        InputError: it cannot be read or means something that is not done here.
    """
    content = _content(path)
    ending = content.get("file_ending", ".nii.gz")
    if ending not in (".nii.gz", ".nii"):
        raise InputError(f"{path}: its files end in {shown(ending)}; save them as NIfTI")
    names = content.get("channel_names", content.get("modality", {}))
    listed = names.values() if isinstance(names, Mapping) else names
    channels = [*listed] if isinstance(listed, Collection) and not isinstance(listed, str) else []
    parts = {
        ours: _listed(path, theirs, content[theirs], len(channels) or 1)
        for theirs, ours in _PARTS.items()
        if isinstance(content.get(theirs), list)
    }
    return DatasetJson(
        path,
        None if labelled or "labels" not in content else _labels(path, content["labels"]),
        tuple(map(str, channels)),
        ending,
        {part: cases for part, cases in parts.items() if cases},
    )


def _content(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MOST:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes are too many for a list of files"
            )
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text, object_pairs_hook=partial(_once_each, path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({why(error)})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its text is {_encoding(path)}; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as JSON ({reason}); repair it") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: it holds {shown(content)}, where a mapping is needed")
    return content


def _encoding(path: Path) -> str:
    """What text is that is no UTF-8, by its first bytes."""
    with path.open("rb") as file:
        begin = file.read(4)
    wide = begin.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in begin
    return "UTF-16" if wide else "no UTF-8"


def _once_each(path: Path, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping, of which JSON's readers would keep the last of two values without a word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(
                f"{path}: {shown(key)} stands twice in one mapping, for {shown(found[key])} and "
                f"for {shown(value)}; take one out"
            )
        found[key] = value
    return found


def _labels(path: Path, given: Any) -> dict[str, int]:
    """Of nnU-Net, organ -> number; of the Decathlon, number as text -> organ."""
    if not isinstance(given, Mapping):
        raise InputError(f"{path}: its labels are {shown(given)}; {_GIVE}")
    found: dict[str, int] = {}
    for key, value in given.items():
        name, number = (value, key) if isinstance(value, str) else (key, value)
        if not re.fullmatch(r"\d{1,5}", str(number)):
            raise InputError(
                f"{path}: label {shown(key)} is {shown(value)}, no single number; {_GIVE}"
            )
        organ = re.sub(r"[\s/]+", "_", str(name).strip())
        if not organ:
            raise InputError(f"{path}: label {number} has no name; {_GIVE}")
        if organ == "ignore":
            raise InputError(
                f"{path}: label {number} marks voxels to ignore, which is not done here; {_GIVE} "
                "and data.other=background"
            )
        if int(number) == 0:
            continue
        if organ in found:
            raise InputError(f"{path}: two labels are called {organ!r}; {_GIVE}")
        if twin := next((other for other, taken in found.items() if taken == int(number)), None):
            raise InputError(f"{path}: {twin!r} and {organ!r} both have number {number}; {_GIVE}")
        found[organ] = int(number)
    return found


def _listed(
    path: Path, part: str, entries: list[Any], channels: int
) -> dict[str, tuple[Path, ...]]:
    """Case -> image, channel by channel, and label, of entries that name both."""
    found: dict[str, tuple[Path, ...]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not {"image", "label"} <= {*entry}:
            continue
        if entry["image"] == []:
            raise InputError(f"{path}: {part} lists an entry without an image; name one")
        given = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
        images = [_inside(path, part, one) for one in given]
        label = _inside(path, part, entry["label"])
        if twice := next((one for one in images if [*images, label].count(one) > 1), None):
            raise InputError(
                f"{path}: an entry of {part} names {shown(str(twice.relative_to(path.parent)))} "
                "twice; name each channel and the label by a file of its own"
            )
        case = re.sub(r"\.nii(\.gz)?$", "", label.name)
        if case in found:
            raise InputError(f"{path}: {part} lists {label.name} twice; take one entry out")
        found[case] = (*(_numbered(images[0], channels) if len(images) == 1 else images), label)
    return found


def _numbered(image: Path, channels: int) -> list[Path]:
    """nnU-Net's first version lists a case, and its files carry the numbers of their channels."""
    files = [
        image.with_name(re.sub(r"(\.nii(\.gz)?)$", rf"_{number:04d}\1", image.name))
        for number in range(channels)
    ]
    return [image] if image.exists() or not files[0].exists() else files


def _inside(path: Path, part: str, given: Any) -> Path:
    """A file below the folder of the list."""
    name = PurePosixPath(str(given))
    if not isinstance(given, str) or name.is_absolute() or ".." in name.parts or not name.name:
        raise InputError(
            f"{path}: {shown(given)} in {part} is no file below {path.parent}; name files from "
            "there"
        )
    return path.parent / name
