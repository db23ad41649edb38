"""Does a stage tell two parts of one organ apart? Maps of two parts, compared."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.errors import InputError
from segtrace.measures import guards
from segtrace.measures.energy import ratio

SECOND_INSTANCE = 0.1
"""A second component counts as an instance from this part of the largest one's size on."""


@guards.held()
def locality(first: Flow, second: Flow) -> Tensor:
    """1 - cos of the positive maps of two regions, (S, R, O, N) float64 in [0, 1].

    0: the stage draws the same map whichever part is asked for (Seg-Grad-CAM has no place in its
    weights); 1: the maps do not overlap. NaN where one of the maps has no positive cell.

    Args:
        first: flow of one part of every organ's region.
        second: flow of the other part; same stages, rules, organs and slices.

    Raises:
        InputError: flows of different stages.
    """
    if first.stages != second.stages:
        raise InputError(
            f"locality compares flows of the same stages; these have {', '.join(first.stages)} "
            f"and {', '.join(second.stages)}"
        )
    return torch.stack([_apart(first.maps[s], second.maps[s]) for s in first.stages])


def _apart(one: Tensor, other: Tensor) -> Tensor:
    return (1 - torch.linalg.vecdot(_direction(one), _direction(other))).clamp(min=0)


def _direction(maps: Tensor) -> Tensor:
    """Positive maps (R, O, N, *cells) as unit vectors (R, O, N, cells)."""
    cells = maps.relu().double().flatten(3)
    return ratio(cells, cells.norm(dim=-1, keepdim=True))


@guards.held()
def parts(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Split every organ's mask in two: its two largest components, or else its two halves.

    A component is joined by its sides; the second counts from a tenth of the first one's size on.
    An organ in one piece is cut across its longest axis of inertia at its centre of mass.

    Args:
        masks: (O, N, *image) bool.

    Returns:
        Two (O, N, *image) bool; disjoint; both empty where the mask has fewer than two pixels.
    """
    masks = masks.bool()
    first, second = torch.zeros_like(masks), torch.zeros_like(masks)
    for o, n in np.ndindex(*masks.shape[:2]):
        if masks[o, n].sum() >= 2:
            one, other = _split(masks[o, n].cpu().numpy())
            first[o, n], second[o, n] = torch.from_numpy(one), torch.from_numpy(other)
    return first, second


def _split(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    components, count = label(mask)
    sizes = np.bincount(components.ravel())[1:]
    largest = np.argsort(-sizes, kind="stable")[:2] + 1
    if count > 1 and sizes[largest[1] - 1] >= SECOND_INSTANCE * sizes[largest[0] - 1]:
        return components == largest[0], components == largest[1]
    return _halves(mask)


def _halves(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    places = np.argwhere(mask)
    centred = places - places.mean(0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    near = np.zeros_like(mask)
    near[tuple(places[centred @ axis < 0].T)] = True
    return near, mask & ~near
