import numpy as np
import pytest
import torch

from helpers import slow_augment
from segtrace.data.augment import RECIPES, Augmentation, recipe_of, transunet
from segtrace.errors import InputError


@pytest.fixture
def blob():
    image = torch.zeros(96, 96)
    image[30:50, 20:40] = 0.7
    return image, (image > 0).to(torch.uint8)


def test_equal_seeds_give_equal_slices_and_other_seeds_others(blob):
    first = Augmentation()(*blob, (0, 3, 0, 7))
    torch.manual_seed(1)
    np.random.seed(1)
    again = Augmentation()(*blob, (0, 3, 0, 7))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for seed in ((1, 3, 0, 7), (0, 4, 0, 7), (0, 3, 1, 7), (0, 3, 0, 8)):
        assert not torch.equal(first[0], Augmentation()(*blob, seed)[0])


def test_no_global_random_state_is_touched(blob):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    Augmentation()(*blob, (0, 0, 0, 0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_without_any_change_the_slice_is_itself(blob):
    still = Augmentation(0, 0, 0, 0, 0)(*blob, (0, 0, 0, 0))
    assert torch.allclose(still[0], blob[0], atol=1e-5)
    assert torch.equal(still[1], blob[1])


def test_image_and_label_move_together(blob):
    for seed in range(20):
        image, label = Augmentation(contrast=0, brightness=0)(*blob, (seed,))
        moved = (image > 0.35).to(torch.uint8)
        assert (moved != label).sum() <= 0.06 * label.sum()
        assert set(label.unique().tolist()) <= {0, 1}


def test_left_never_becomes_right(blob):
    for seed in range(25):
        _, label = Augmentation()(*blob, (seed,))
        assert torch.nonzero(label)[:, 1].float().mean() < 48


def test_changes_stay_within_their_bounds(blob):
    areas, angles = [], []
    bar = torch.zeros(96, 96)
    bar[46:50, 18:78] = 1
    for seed in range(40):
        _, label = Augmentation(shift=0)(*blob, (seed,))
        areas.append(float(label.sum()) / 400)
        _, turned = Augmentation(shift=0, scale=0)(bar, bar.to(torch.uint8), (seed,))
        rows, columns = torch.nonzero(turned).double().T
        angles.append(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0])))
    assert 0.9**2 - 0.05 < min(areas) < 0.9
    assert 1.1 < max(areas) < 1.1**2 + 0.05
    assert -16 < min(angles) < -8
    assert 8 < max(angles) < 16


def test_values_stay_in_the_window_and_air_stays_air(blob):
    image = blob[0] + 0.3 * (blob[0] > 0)
    for seed in range(20):
        changed, label = Augmentation()(image, blob[1], (seed,))
        assert changed.min() == 0
        assert changed.max() <= 1
        assert changed[label == 0].median() == 0


def test_transunets_recipe_is_theirs_in_kind_and_in_measure():
    image, label = torch.rand(64, 64) * 0.9 + 0.1, torch.randint(0, 9, (64, 64), dtype=torch.uint8)
    right = {}
    for turns in range(4):
        for axis in range(2):
            key = np.flip(np.rot90(image.numpy(), turns), axis).tobytes()
            right[key] = np.flip(np.rot90(label.numpy(), turns), axis)
    kinds = {"right angles": 0, "as it was": 0, "degrees": 0}
    for seed in range(600):
        moved, labels = transunet(image, label, (seed,))
        assert np.isin(moved.numpy(), np.append(image.numpy(), 0)).all()  # nearest, no new value
        if torch.equal(moved, image):
            kinds["as it was"] += 1
            assert torch.equal(labels, label)
        elif moved.numpy().tobytes() in right:
            kinds["right angles"] += 1
            assert np.array_equal(labels.numpy(), right[moved.numpy().tobytes()])
        else:
            kinds["degrees"] += 1
    # 1/2, 1/4 and 1/4 (one of whose 40 angles is 0), each within four standard errors
    assert abs(kinds["right angles"] - 300) < 4 * np.sqrt(600 / 4)
    assert abs(kinds["degrees"] - 600 / 4 * 39 / 40) < 4 * np.sqrt(600 * 3 / 16)
    assert len({transunet(image, label, (seed,))[0].numpy().tobytes() for seed in range(99)}) > 20


def test_transunets_recipe_equals_its_formulas_to_the_bit():
    """The same numbers drawn, and the published program's steps for them."""
    draw = np.random.default_rng(0)
    planes = [draw.random((40, 33)).astype(np.float32), draw.integers(0, 9, (40, 33))]
    image, label = torch.from_numpy(planes[0]), torch.from_numpy(planes[1].astype(np.uint8))
    for seed in range(40):
        moved = transunet(image, label, (seed, 2, 0, 5))
        for found, plane in zip(moved, planes, strict=True):
            expected = slow_augment.transunet(plane, (seed, 2, 0, 5))
            assert np.array_equal(found.numpy(), expected)
            assert found.is_contiguous()


@pytest.mark.parametrize(
    ("given", "name"),
    [(True, "anatomical"), (False, "none"), *((name, name) for name in RECIPES)],
)
def test_a_recipe_is_named(given, name):
    assert recipe_of(given) is RECIPES[name]


@pytest.mark.parametrize("given", ["transunett", "", 2])
def test_what_is_no_recipe_is_refused(given):
    with pytest.raises(InputError, match=r"no augmentation \(data.augment\)"):
        recipe_of(given)
