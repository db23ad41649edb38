"""How alike the maps of two regions are: a rule that averages draws nearly the same for both."""

import numpy as np
from numpy.typing import NDArray

from segtrace.attribution.flow import Flow, Status
from segtrace.measures.change import correlation
from segtrace.report.pictures.view import array


def likeness(one: Flow, other: Flow) -> NDArray[np.float32]:
    """(S, R, O, N) Pearson correlation over a stage's cells of what is drawn, the positive parts.

    NaN where one of the two maps may not be read, or is the same everywhere.

    Args:
        one: the maps of a region.
        other: of the same network on the same slices, of another.
    """
    sound = (array(one.status) == Status.OK) & (array(other.status) == Status.OK)
    found = np.full(sound.shape, np.nan, np.float32)
    pairs = [
        [np.maximum(array(flow.maps[stage]), 0).astype(np.float64) for flow in (one, other)]
        for stage in one.stages
    ]
    for s, *at in np.argwhere(sound):
        found[(s, *at)] = correlation(*(maps[tuple(at)].ravel() for maps in pairs[s]))
    return found
