"""Dice, HD95 and surface Dice equal medpy's, MONAI's and numbers by hand; rules for empty masks."""

from math import inf, isnan, nan

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice

from helpers import slow_scores
from segtrace.evaluation.protocols import PROTOCOLS, STRICT, TRANSUNET, protocol_of
from segtrace.evaluation.scores import score
from segtrace.evaluation.surfaces import Surfaces, hd95, surface_dice

SPACING = (3.0, 0.8, 0.7)
STEPS = np.diag(SPACING)
NOTHING = np.zeros((6, 20, 20), bool)
SOMETHING = NOTHING.copy()
SOMETHING[2:4, 5:9, 5:9] = True


def blobs(seed, shape=(7, 23, 19)):
    """Two masks that touch the image's ends, with holes and islands."""
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    near = np.stack([noise[0], 0.6 * noise[0] + noise[1]])
    return near > [[[[0.7]]], [[[0.9]]]]


@pytest.mark.parametrize("spacing", [(1, 1, 1), SPACING])
@pytest.mark.parametrize("seed", range(4))
def test_hd95_is_medpys(seed, spacing):
    predicted, true = blobs(seed)
    found = hd95(Surfaces.of(predicted, true).distances(np.diag(spacing)))
    assert found == pytest.approx(slow_scores.hd95(predicted, true, spacing), abs=1e-9)


TILT = np.array([[3.0, 1.1, 0.0], [0.0, 0.8, -0.4], [0.3, 0.0, 0.7]])


@pytest.mark.parametrize("steps", [TILT, TILT * [1, -1, 1], STEPS])
@pytest.mark.parametrize("seed", range(2))
def test_distances_along_any_axes_are_those_of_every_pair(seed, steps):
    predicted, true = blobs(seed, (5, 11, 9))
    found = Surfaces.of(predicted, true).distances(steps)
    expected = slow_scores.distances(predicted, true, steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    both = score(predicted, true, steps, STRICT, tolerance=1.0)
    assert both.hd95_mm == pytest.approx(np.percentile(expected, 95), abs=1e-12)
    assert both.surface_dice == (expected <= 1.0).mean()
    assert both.true_ml == pytest.approx(true.sum() * abs(np.linalg.det(steps)) / 1000)
    turned = Surfaces.of(predicted, true).distances(steps @ np.linalg.qr(TILT)[0])
    np.testing.assert_allclose(turned, found, rtol=0, atol=1e-12)


def test_hd95_by_hand():
    far = np.roll(SOMETHING, 6, axis=1)
    distances = Surfaces.of(far, SOMETHING).distances(STEPS)
    # Two layers of 4 x 4, all of them surface: the rows lie 3, 4, 5 and 6 voxels from the other.
    expected = np.repeat(np.array([3, 4, 5, 6]) * 0.8, 8)
    np.testing.assert_allclose(np.sort(distances), np.sort(np.tile(expected, 2)))
    assert hd95(distances) == pytest.approx(6 * 0.8)
    one_off = Surfaces.of(np.roll(SOMETHING, 1, axis=0), SOMETHING).distances(np.eye(3))
    assert hd95(one_off) == 1


@pytest.mark.parametrize("shear", [0, 1])
def test_hd95_where_denormal_numbers_are_flushed(shear):
    # Longest along a coordinate that is 0 for most surface voxels.
    flat, steps = np.zeros((3, 8, 24), bool), np.eye(3)
    flat[range(3), :, [0, shear, 2 * shear]] = flat[0, 0] = True
    steps[0, 2] = -shear
    torch.set_flush_denormal(True)
    try:
        distances = Surfaces.of(flat, flat).distances(steps)
    finally:
        torch.set_flush_denormal(False)
    assert not distances.any()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy.*:FutureWarning")
@pytest.mark.parametrize("tolerance", [0.0, 0.75, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_is_monais(seed, tolerance):
    predicted, true = blobs(seed)
    found = surface_dice(Surfaces.of(predicted, true).distances(STEPS), tolerance)
    one_hot = [torch.tensor(np.stack([~mask, mask]))[None] for mask in (predicted, true)]
    theirs = compute_surface_dice(*one_hot, [tolerance], spacing=SPACING)
    assert found == pytest.approx(theirs.item(), abs=1e-6)


def test_a_score_holds_volumes_and_both_distances():
    shifted = np.roll(SOMETHING, 1, axis=2)
    found = score(shifted, SOMETHING, STEPS, STRICT)
    assert (found.finding, found.dice) == ("both", pytest.approx(0.75))
    assert (found.true_voxels, found.predicted_voxels, found.common_voxels) == (32, 32, 24)
    assert found.true_ml == pytest.approx(32 * 3 * 0.8 * 0.7 / 1000)
    assert (found.hd95_voxels, found.hd95_mm) == (1, pytest.approx(0.7))
    assert found.surface_dice == 1
    assert score(shifted, SOMETHING, STEPS, STRICT, 0.5).surface_dice == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("protocol", "predicted", "true", "finding", "expected"),
    [
        (STRICT, NOTHING, SOMETHING, "missing", (0, inf)),
        (STRICT, SOMETHING, NOTHING, "false", (0, inf)),
        (STRICT, NOTHING, NOTHING, "absent", (nan, nan)),
        (TRANSUNET, NOTHING, SOMETHING, "missing", (0, 0)),
        (TRANSUNET, SOMETHING, NOTHING, "false", (1, 0)),
        (TRANSUNET, NOTHING, NOTHING, "absent", (0, 0)),
    ],
)
def test_rules_for_what_is_not_there(protocol, predicted, true, finding, expected):
    found = score(predicted, true, STEPS, protocol)
    assert found.finding == finding
    np.testing.assert_equal((found.dice, found.hd95_mm), expected)
    np.testing.assert_equal((found.surface_dice, found.hd95_voxels), expected)
    if protocol is TRANSUNET:
        assert (found.dice, found.hd95_voxels) == slow_scores.transunet_case(predicted, true)


@pytest.mark.parametrize("predicted", [SOMETHING, NOTHING])
def test_without_millimetres_there_are_voxels(predicted):
    found = score(predicted, SOMETHING, np.diag([nan] * 3), STRICT)
    assert all(map(isnan, (found.hd95_mm, found.surface_dice, found.true_ml, found.predicted_ml)))
    assert found.hd95_voxels == (0 if predicted is SOMETHING else inf)
    assert found.dice == float(predicted is SOMETHING)


def test_protocols_are_known_by_name():
    assert {name: protocol_of(name) for name in PROTOCOLS} == PROTOCOLS
    with pytest.raises(ValueError, match=r"no protocol 'stric'; did you mean 'strict'|stric"):
        protocol_of("stric")
