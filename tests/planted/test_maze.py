import numpy as np
import pytest
from scipy import ndimage

from segtrace.planted.images.tasks import plant


def pairs(count=12):
    for case in range(count):
        yield plant("maze", 0, case, 0), plant("maze", 0, case, 1)


def reached(planted):
    """What can be walked to from outside: the walls are bright."""
    free = np.pad(planted.image < 0.57, 1, constant_values=True)
    parts, _ = ndimage.label(free)
    return (parts == parts[0, 0])[1:-1, 1:-1]


def test_the_room_to_be_segmented_is_the_one_that_can_be_walked_to():
    for pair in pairs():
        for planted, twin in (pair, pair[::-1]):
            room, other = planted.label > 0, twin.label > 0
            assert ndimage.label(room)[1] == 1
            assert not (room & other).any()
            assert reached(planted)[room].mean() > 0.99
            assert reached(planted)[other].mean() < 0.01


def test_twins_differ_in_the_doors_alone_of_which_one_is_open():
    for one, twin in pairs():
        np.testing.assert_array_equal(one.image[~one.evidence], twin.image[~one.evidence])
        np.testing.assert_array_equal(one.evidence, twin.evidence)
        assert (np.abs(one.image - twin.image)[one.evidence] > 0.2).all()
        doors, count = ndimage.label(one.evidence)
        assert count == 2
        open_ = [one.image[doors == door].mean() < 0.57 for door in (1, 2)]
        assert sorted(open_) == [False, True]


def test_the_decoys_doors_are_as_large_and_say_nothing():
    said = []
    for one, twin in pairs(40):
        assert one.evidence.sum() == one.decoy.sum() == 48
        np.testing.assert_array_equal(one.image[one.decoy], twin.image[one.decoy])
        rows = np.flatnonzero(one.decoy.any(1))
        upper = one.decoy & (np.arange(64)[:, None] < rows.mean())
        said.append(one.image[upper].mean() < 0.57)  # the upper room, which is open in ``one``
    assert 10 <= sum(said) <= 30


@pytest.mark.parametrize("half", [slice(0, 32), slice(32, 64)])
def test_evidence_lies_on_either_side_and_the_way_in_says_on_which(half):
    """Whoever sees the doors but not the way in does not know which of them count."""
    sides = [one.evidence[:, half].any() for one, _ in pairs(40)]
    assert 10 <= sum(sides) <= 30
