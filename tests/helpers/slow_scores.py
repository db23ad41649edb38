"""medpy's definitions and the published protocol's, written plainly: to be equalled."""

import numpy as np
from scipy.ndimage import (
    binary_erosion,
    distance_transform_edt,
    generate_binary_structure,
    zoom,
)


def _one_way(result, reference, spacing):
    """Distances from the border of one to that of the other, on the whole image."""
    faces = generate_binary_structure(3, 1)
    result_border = result ^ binary_erosion(result, structure=faces, iterations=1)
    reference_border = reference ^ binary_erosion(reference, structure=faces, iterations=1)
    return distance_transform_edt(~reference_border, sampling=spacing)[result_border]


def distances(predicted, true, steps):
    """From every border voxel of the one to the nearest of the other, in order; pair by pair."""
    faces = generate_binary_structure(3, 1)
    one, other = (
        [place @ steps for place in np.argwhere(mask & ~binary_erosion(mask, structure=faces))]
        for mask in (predicted, true)
    )
    both = ((one, other), (other, one))
    return np.array([min(np.sqrt(((a - b) ** 2).sum()) for b in to) for of, to in both for a in of])


def hd95(result, reference, spacing=(1, 1, 1)):
    both = [_one_way(result, reference, spacing), _one_way(reference, result, spacing)]
    return float(np.percentile(np.hstack(both), 95))


def dice(result, reference):
    return 2.0 * np.count_nonzero(result & reference) / (result.sum() + reference.sum())


def transunet_case(predicted, true):
    """(Dice, HD95) of one class in one case, rules for empty masks included."""
    if predicted.sum() > 0 and true.sum() > 0:
        return dice(predicted, true), hd95(predicted, true)
    if predicted.sum() > 0 and true.sum() == 0:
        return 1, 0
    return 0, 0


def transunet_prediction(image, net, size):
    """(D, H, W) in [0, 1] -> labels, one slice after the other."""
    labels = np.zeros_like(image)
    for index, slice_ in enumerate(image):
        x, y = slice_.shape
        small = zoom(slice_, (size / x, size / y), order=3)
        labels[index] = zoom(net(small), (x / size, y / size), order=0)
    return labels


def transunet_table(cases, classes):
    """Rows (class, Dice, HD95) over cases [(predicted, true)], and their mean over classes."""
    listed = np.array([
        [transunet_case(predicted == c, true == c) for c in range(1, classes + 1)]
        for predicted, true in cases
    ])  # fmt: skip
    of_classes = listed.mean(0)
    return of_classes, of_classes.mean(0)
