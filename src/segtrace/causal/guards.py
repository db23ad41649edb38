"""What the arguments of causal functions may be, beside those that attribution knows."""

from collections.abc import Mapping
from typing import Any

from segtrace.causal.baselines import Baselines
from segtrace.errors import Guard, InputError, wrong
from segtrace.network import guards
from segtrace.network.guards import (
    a_count,
    a_finite_image,
    instance,
    labels,
    names,
    optional,
    some,
    some_or_none,
    tensors,
)

__all__ = ["BASELINES", "a_count", "aligned", "held", "instance", "names", "optional",
           "some", "some_or_none"]  # fmt: skip

BASELINES = instance(Baselines, "the result of segtrace.collect")


def a_pair(name: str, value: Any) -> tuple[Any, Any]:
    """Images and their label maps, as the channel numbers that those hold."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise wrong(name, value, "(images, truth)")
    a_finite_image(f"{name}[0]", value[0])
    return value[0], labels(f"{name}[1]", value[1])


def aligned(given: Mapping[str, Any]) -> None:
    """One label map or set of masks of its size, and one case, a slice.

    Raises:
        InputError: other numbers or sizes of them.
    """
    images, truth, cases = given["images"], given["truth"], given.get("cases")
    image, behind = (len(images), *images.shape[2:]), images.ndim - 2
    if (len(truth), *truth.shape[-behind:]) != image:
        raise InputError(f"the truth has shape {tuple(truth.shape)}; the images ask for {image}")
    if cases is not None and len(cases) != len(images):
        raise InputError(f"{len(cases)} cases for {len(images)} slices; give one a slice")


ARGUMENTS: Mapping[str, Guard] = {
    "images": a_finite_image,
    "truth": labels,
    "baselines": optional(BASELINES),
    "giving": a_pair,
    "taking": a_pair,
    "predictors": tensors,
    "controls": tensors,
}
"""Name of an argument -> its guard, where attribution has none or another."""

held = guards.holding({**guards.ARGUMENTS, **ARGUMENTS})
