"""Two folders of images and labels of which some do not belong together: what is missing."""

from collections.abc import Sequence
from pathlib import Path

from segtrace.data.files.finding_files import matches, named


def incomplete(top: Path, patterns: Sequence[tuple[str, str]]) -> str | None:
    """What keeps two folders from being a data set, in words; ``None`` where there are no two.

    Args:
        top: the folder that holds them.
        patterns: of images and of labels, of which the two that fit most cases are judged.
    """
    there = [pair for pair in patterns if all((top / one).parent.is_dir() for one in pair)]
    if not there:
        return None
    images, masks = max(there, key=lambda pair: _fit(top, *pair))
    labelled, imaged = matches(top, masks), matches(top, images)
    lacking = [case for case in labelled if case not in imaged]
    if not labelled:
        return f"{_folder(masks)} holds no NIfTI file, and every case needs its label; add them"
    case, count = lacking[0], f"{len(lacking)} of {len(labelled)} labels have no image"
    label, image = labelled[case].relative_to(top), named(top, images, case)
    expected = image.relative_to(top)
    if image.is_dir():
        return f"{count}: {expected} is a folder; put the image of {label} in its place"
    if twin := next((one for one in imaged if one.casefold() == case.casefold()), None):
        beside = imaged[twin].relative_to(top)
        return f"{count}: beside {label} there is {beside}, of other capitals; rename one of them"
    if len(lacking) == len(labelled):
        return (
            f"{count}, e.g. no {expected} for {label}; say what they are called, e.g. "
            f"'data.images={_folder(images)}a*.nii.gz' 'data.masks={_folder(masks)}b*.nii.gz'"
        )
    return f"{count}, e.g. no {expected} for {label}; add it, or take the label away"


def _fit(top: Path, images: str, masks: str) -> tuple[int, int]:
    """How many labels have their image, and how many there are."""
    labelled = matches(top, masks).keys()
    return len(labelled & matches(top, images).keys()), len(labelled)


def _folder(pattern: str) -> str:
    return f"{Path(pattern).parent.as_posix()}/"
