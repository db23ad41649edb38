import numpy as np
from scipy import ndimage

from segtrace.planted.images.planted import SIDE
from segtrace.planted.images.tasks import plant


def pairs(count=12):
    for case in range(count):
        yield plant("triangle", 0, case, 0), plant("triangle", 0, case, 1)


def test_the_triangle_is_to_be_segmented_in_one_twin_and_nothing_in_the_other():
    for one, twin in pairs():
        assert set(np.unique(one.label)) == {0, 1}
        assert not twin.label.any()
        assert ndimage.label(one.label)[1] == 1
        rows = one.label.sum(1)[one.label.any(1)]
        assert (np.diff(rows.astype(int)) >= 0).all()  # wider and wider downwards
        assert rows[-1] >= len(rows) - 1
        assert not (one.label & (one.evidence | one.decoy)).any()
        assert 0 <= one.image.min() < one.image.max() <= 1


def test_twins_differ_in_the_evidence_alone_which_is_a_circle_or_a_frame():
    for one, twin in pairs():
        np.testing.assert_array_equal(one.image[~one.evidence], twin.image[~one.evidence])
        np.testing.assert_array_equal(one.evidence, twin.evidence)
        grown = one.image - twin.image  # the circle is added within the frame, the corners taken
        assert (np.abs(grown)[grown != 0] > 0.2).all()
        assert ((grown > 0.2).sum(), (grown < -0.2).sum()) == (64, 40)
        assert (twin.image[one.evidence] > 0.57).sum() == 132  # bright pixels


def test_evidence_and_decoy_are_as_large_and_stand_in_exchangeable_places():
    places = []
    for one, _ in pairs(40):
        assert one.evidence.sum() == one.decoy.sum() == 14 * 14
        assert not (one.evidence & one.decoy).any()
        places.append([ndimage.center_of_mass(mask) for mask in (one.evidence, one.decoy)])
    evidence, decoy = np.array(places).transpose(1, 0, 2)
    error = np.sqrt((evidence.var(0) + decoy.var(0)) / len(places))
    assert (np.abs(evidence.mean(0) - decoy.mean(0)) < 3 * error).all()


def test_it_stands_anywhere():
    """Both halves of the image, and all of its rows."""
    middles = np.array([ndimage.center_of_mass(one.label) for one, _ in pairs(40)])
    assert (middles[:, 1] < SIDE / 2).any()
    assert (middles[:, 1] > SIDE / 2).any()
    assert np.ptp(middles[:, 0]) > SIDE / 3
