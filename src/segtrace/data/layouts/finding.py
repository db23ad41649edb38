"""Which form a folder of labelled NIfTI files has."""

from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from segtrace.data.files.finding_files import existing_folder, matches
from segtrace.data.files.nifti import FIRST
from segtrace.data.layouts.dataset_json import DatasetJson, read_dataset_json
from segtrace.data.layouts.incomplete import incomplete
from segtrace.data.layouts.listed import ListedSource
from segtrace.data.layouts.organ_files import IMAGE, ORGANS, OrganFilesSource
from segtrace.data.sources import NiftiSource
from segtrace.data.views.windowing import MOST_CHANNELS
from segtrace.errors import InputError

LIST = "dataset.json"
PATTERNS = tuple(
    (f"{images}/{image}.nii.gz", f"{labels}/{label}.nii.gz")
    for images, labels in (
        ("img", "label"), ("imagesTr", "labelsTr"), ("images", "labels"), ("image", "label"),
        ("images", "masks"), ("image", "mask"),
    )
    for image, label in (("img*", "label*"), ("*_0000", "*"), ("*", "*"))
)  # fmt: skip
"""Patterns of images and labels in two folders, in the order in which they are tried."""

Labels = str | dict[str, int] | None


def find_source(
    root: str,
    labels: Labels = None,
    images: str | list[str] | None = None,
    masks: str | None = None,
    other: str = "refuse",
) -> NiftiSource:
    """The source of a folder, or of the cases that a JSON file lists.

    Args:
        root: the folder, or the file.
        labels: organ -> number, or a name of such a table; None where the files say it.
        images: pattern of the images, or one for each input channel; None to look for it.
        masks: pattern of the labels; None to look for it.
        other: label values outside the table: ``"refuse"`` or ``"background"``.

    Raises:
        InputError: a form that is not known; labels that nothing says.
    """
    path = Path(root).expanduser()
    if path.suffix == ".json" and path.is_file():
        return _listed(read_dataset_json(path, bool(labels)), labels, other)
    top = existing_folder(root)
    told = read_dataset_json(top / LIST, bool(labels)) if (top / LIST).is_file() else None
    if images or masks:
        images = images or _usual(top, "img/img*.nii.gz", "masks", ("images", "images=scans"))
        masks = masks or _usual(top, "label/label*.nii.gz", "images", ("labels", "masks=organs"))
        return NiftiSource(root, _known(labels, told, top), images, masks, other)
    if told and told.parts:
        return _listed(told, labels, other)
    if any((top / case / ORGANS).is_dir() for case in matches(top, IMAGE)):
        return OrganFilesSource(root, labels)
    if parts := _in_two_parts(top):
        return _listed(_of_parts(top, told, parts), labels, other)
    first, masks = _patterns(top)
    return NiftiSource(root, _known(labels, told, top), _channels(top, first, told), masks, other)


def _usual(top: Path, pattern: str, given: str, missing: tuple[str, str]) -> str:
    """The pattern of the other folder, where files lie that fit it.

    Raises:
        InputError: none does.
    """
    if not matches(top, pattern):
        raise InputError(
            f"data.{given} is given, and {top} holds no {pattern}: say where the {missing[0]} are, "
            f"e.g. 'data.{missing[1]}/*.nii.gz'"
        )
    return pattern


def _listed(told: DatasetJson, labels: Labels, other: str) -> NiftiSource:
    if not told.parts:
        raise InputError(f"{told.path}: it lists no training images with their labels; add them")
    files = next(iter(next(iter(told.parts.values())).values()))
    if len(told.channels) > 1 and len(files) == 2:
        raise _one_file(told)
    return ListedSource(told, _known(labels, told, told.path.parent), other)


def _in_two_parts(top: Path) -> dict[str, dict[str, tuple[Path, ...]]]:
    """The cases of AMOS' folders, those that validate apart; empty where there are no such."""
    parts: dict[str, dict[str, tuple[Path, ...]]] = {}
    for part, ending in (("train", "Tr"), ("val", "Va")):
        images = matches(top, f"images{ending}/*.nii.gz")
        masks = matches(top, f"labels{ending}/*.nii.gz")
        if not masks or not masks.keys() <= images.keys():
            return {}
        parts[part] = {case: (images[case], mask) for case, mask in masks.items()}
    return parts


def _of_parts(
    top: Path, told: DatasetJson | None, parts: dict[str, dict[str, tuple[Path, ...]]]
) -> DatasetJson:
    if told is None:
        return DatasetJson(top / LIST, None, (), ".nii.gz", parts)
    return replace(told, parts=parts)


def _known(labels: Labels, told: DatasetJson | None, top: Path) -> str | dict[str, int]:
    found = labels or (told.labels if told else None)
    if not found:
        raise InputError(
            f"{top}: no {LIST} there says which organ has which number; give data.labels, e.g. "
            "'data.labels={liver: 1, spleen: 2}'"
        )
    return found


def _patterns(top: Path) -> tuple[str, str]:
    """The first pair under which every label has its image.

    Raises:
        InputError: there is none, and no folder of the usual names, of which more can be said.
    """
    for images, masks in PATTERNS:
        found = matches(top, masks).keys()
        if found and found <= matches(top, images).keys():
            return images, masks
    if (top / "img").is_dir():
        return PATTERNS[0]
    if (why := incomplete(top, PATTERNS)) is not None:
        raise InputError(f"{top}: {why}")
    listed = f"no cases listed in {LIST}" if (top / LIST).is_file() else f"no {LIST}"
    raise InputError(
        f"{top}: {listed}, no CASE/ct.nii.gz with {ORGANS}/, and no two folders of images and "
        "labels that are called alike; say where they are, e.g. "
        "'data.images=scans/*.nii.gz' 'data.masks=organs/*.nii.gz'"
    )


def _channels(top: Path, images: str, told: DatasetJson | None) -> list[str]:
    """A pattern for each input channel, by nnU-Net's rule.

    Raises:
        InputError: several channels that are told of, and one file a case.
    """
    several = len(told.channels) if told is not None else 0
    if FIRST not in images:
        if told is not None and several > 1:
            raise _one_file(told)
        return [images]
    numbered = (images.replace(FIRST, f"_{n:04d}") for n in range(several or MOST_CHANNELS))
    return [*numbered] if several else [*takewhile(lambda one: matches(top, one), numbered)]


def _one_file(told: DatasetJson) -> InputError:
    return InputError(
        f"{told.path}: {len(told.channels)} input channels ({', '.join(told.channels)}), and one "
        f"file a case; save each as a file of its own, CASE{FIRST}.nii.gz and so on"
    )
