"""Maps on the image: what of a slice a map shows, and maps that need no explaining."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from segtrace.activation import OrganLike
from segtrace.attribution.aggregate import on_grid
from segtrace.attribution.flow import Flow
from segtrace.errors import InputError


def on_image(signed: Tensor, size: Sequence[int]) -> Tensor:
    """(*image) a signed map (*cells), rectified and then resized, as the authors' programs do."""
    return on_grid(signed.relu()[None, None, None], size)[0, 0, 0]


def brightness(images: Tensor) -> Tensor:
    """Slices (N, C, *image) as maps of themselves, (N, *image) in [0, 1].

    The mean over channels, from the least to the largest value of the slice; 0 of an even one.
    """
    grey = images.mean(1)
    cells = tuple(range(1, grey.ndim))
    low, high = grey.amin(cells, keepdim=True), grey.amax(cells, keepdim=True)
    return (grey - low) / (high - low).clamp(min=1e-12)


def check_slices(
    flow: Flow, images: Tensor, channels: Mapping[str, OrganLike], cases: Sequence[str]
) -> None:
    """Refuse a flow that is not of these slices and organs.

    Raises:
        InputError: with what it explains.
    """
    if tuple(channels) != flow.organs:
        raise InputError(
            f"the flow explains {', '.join(flow.organs)}; give their channels in this order"
        )
    if not len(cases) == len(images) == flow.scores.shape[1]:
        raise InputError(
            f"{len(images)} slices, {len(cases)} cases, {flow.scores.shape[1]} slices in the flow; "
            "they must be as many"
        )
