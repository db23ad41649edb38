"""Slices or volumes: which of the two the options of a data set ask for."""

from collections.abc import Sequence

from segtrace.data.augment import BEFORE_RESIZING, Named, recipe_of
from segtrace.data.preprocessing import CUBIC, LINEAR, Preprocessing
from segtrace.data.views.slices import SliceView
from segtrace.data.views.view import View
from segtrace.data.views.windowing import Window
from segtrace.data.volumes.preprocessing import VolumePreprocessing, triple, whole_triple
from segtrace.data.volumes.view import VolumeView
from segtrace.errors import InputError

UNASKED = 0.5
"""``foreground`` and ``overlap`` of whoever asks for neither."""


def view_of(
    window: Window | tuple[Window, ...],
    organs: dict[str, int],
    channels: int,
    size: int,
    resizing: str | None,
    augment: Named,
    patch: Sequence[int] | None,
    spacing: Sequence[float] | None,
    foreground: float,
    overlap: float,
) -> View:
    """Volumes where a patch or a spacing is given, else slices.

    Args:
        window: see :class:`~segtrace.data.datamodule.CaseDataModule`, as for the others.
        organs: organ name -> channel.
        channels: of an image.
        size: of slices.
        resizing: of slices.
        augment: of what is trained on.
        patch: of volumes.
        spacing: of volumes.
        foreground: of volumes.
        overlap: of volumes.

    Raises:
        InputError: a value that cannot be; one that is of slices alone beside volumes, or of
            volumes alone beside slices.
    """
    if patch is None and spacing is None:
        for option, value in (("foreground", foreground), ("overlap", overlap)):
            if value != UNASKED:
                raise InputError(
                    f"data.{option}={value} is of volumes alone, which data.patch and data.spacing "
                    "ask for; leave it out, or say data.patch=[96,96,96]"
                )
        early = augment in BEFORE_RESIZING
        how = resizing or (CUBIC if early else LINEAR)
        preprocessing = Preprocessing(window, size, organs, how, channels)
        return SliceView(preprocessing, recipe_of(augment), early and how == CUBIC)
    for option, of_slices, instead in (
        (f"augment={augment}", augment in BEFORE_RESIZING, "augment=anatomical"),
        (f"resizing={resizing}", resizing == CUBIC, "resizing=null"),
    ):
        if of_slices:
            raise InputError(
                f"data.{option} is of slices alone, and data.patch and data.spacing ask for "
                f"volumes; say data.{instead}"
            )
    made = VolumePreprocessing(
        window, organs, triple("spacing", spacing), whole_triple("patch", patch), overlap, channels
    )
    return VolumeView(made, recipe_of(augment), foreground)
