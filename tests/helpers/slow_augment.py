"""TransUNet's random changes of a slice and its resizing, written out: to be equalled."""

import numpy as np
from scipy import ndimage


def transunet(plane, seed):
    """A slice, or its label, as their steps change it for the numbers that a seed draws."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    if random.random() > 0.5:
        k, axis = random.integers(4), random.integers(2)
        return np.flip(np.rot90(plane, k), axis=axis)
    if random.random() > 0.5:
        return ndimage.rotate(plane, int(random.integers(-20, 20)), order=0, reshape=False)
    return plane


def small(plane, size, order):
    """Resized to ``size`` x ``size`` as it is."""
    rows, columns = plane.shape
    return ndimage.zoom(plane, (size / rows, size / columns), order=order)
