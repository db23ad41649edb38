"""What the arguments of causal functions may be, beside those that attribution knows."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from segtrace.attribution import guards
from segtrace.attribution.guards import an_image, instance, labels, optional
from segtrace.causal.baselines import Baselines
from segtrace.errors import Guard, InputError, wrong


def a_pair(name: str, value: Any) -> None:
    """Images and their label maps."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise wrong(name, value, "(images, truth)")
    an_image(f"{name}[0]", value[0])
    labels(f"{name}[1]", value[1])


BASELINES = instance(Baselines, "the result of segtrace.causal.baselines.collect")

ARGUMENTS: Mapping[str, Guard] = {
    **guards.ARGUMENTS,
    "truth": labels,
    "baselines": optional(BASELINES),
    "giving": a_pair,
    "taking": a_pair,
    "predictors": guards.tensors,
    "controls": guards.tensors,
}
"""Name of an argument -> its guard."""


def aligned(images: Tensor, truth: Tensor, cases: Sequence[str] | None = None) -> None:
    """One label map of its size, and one case, a slice.

    Raises:
        InputError: other numbers or sizes of them.
    """
    image = (len(images), *images.shape[2:])
    if truth.shape != image:
        raise InputError(f"the truth has shape {tuple(truth.shape)}; the images ask for {image}")
    if cases is not None and len(cases) != len(images):
        raise InputError(f"{len(cases)} cases for {len(images)} slices; give one a slice")
