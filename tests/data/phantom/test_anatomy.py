import numpy as np
import pytest

from segtrace.data.phantom import anatomy
from segtrace.data.phantom.anatomy import Build
from segtrace.data.phantom.fields import Space


@pytest.fixture
def space():
    axes = tuple(
        np.arange(a, b, 3, dtype=np.float32) for a, b in ((-160, 160), (-110, 110), (0, 240))
    )
    return Space(axes, *np.meshgrid(*axes, indexing="ij"))


class Mean:
    """A generator without chance: every patient is the average one."""

    def normal(self, mean=0.0, spread=1.0, size=None):
        return mean if size is None else np.full(size, mean, float)


@pytest.fixture
def average():
    return Build(size=1.0, fat=15.0, random=Mean())


def centre(space, field):
    return np.array([grid[field < 0].mean() for grid in (space.x, space.y, space.z)])


def test_the_size_of_a_patient_scales_places_radii_and_paths(average):
    large = Build(size=1.1, fat=15.0, random=Mean())
    assert average.at(10, -20, 30) == (10, -20, 30)
    assert large.at(10, -20, 30) == pytest.approx((11, -22, 33))
    assert large.radii(10, 20, 30) == pytest.approx((11, 22, 33))
    np.testing.assert_allclose(large.along([(10, 0, 0), (0, 10, 0)]), [(11, 0, 0), (0, 11, 0)])


def test_a_path_moves_more_as_a_whole_than_its_points_among_themselves():
    build = Build(1.0, 15.0, np.random.default_rng(0))
    ends = np.array([build.along([(0, 0, 0), (50, 0, 0)], spread=4) for _ in range(400)])
    ends[:, 1, 0] -= 50
    assert ends.mean(1).std() == pytest.approx(4 * np.sqrt(1 + 1 / 8), rel=0.1)
    assert (ends[:, 0] - ends[:, 1]).std() == pytest.approx(2 * np.sqrt(2), rel=0.1)


def test_no_radius_leaves_its_limits_however_wide_the_spread():
    build = Build(1.0, 15.0, np.random.default_rng(0))
    radii = np.array([build.radii(10, 10, 10, spread=0.5) for _ in range(200)])
    assert radii.min() == 7.5
    assert radii.max() == 13


def test_the_kidneys_mirror_each_other_but_for_their_height(space, average):
    right, left = (anatomy.kidney(space, average, side)[0] for side in (-1, 1))
    assert abs((right < 0).sum() / (left < 0).sum() - 1) < 0.02
    np.testing.assert_allclose(centre(space, left) - centre(space, right), (118, 0, 14), atol=2)


def test_the_sinus_opens_towards_the_spine_and_to_the_front(space, average):
    whole, sinus = anatomy.kidney(space, average, 1)
    assert ((sinus < 0) <= (whole < 0)).all()
    towards = centre(space, sinus) - centre(space, whole)
    assert towards[0] < -8
    assert towards[1] < -3


def test_the_spleen_is_hollow_towards_the_stomach(space, average):
    spleen = anatomy.spleen(space, average)
    full = space.ellipsoid((95, 40, 174), (39, 55, 58), turn=-24, tilt=8)
    missing = (full < 0) & (spleen >= 0)
    assert missing.sum() > 0.1 * (full < 0).sum()
    assert space.x[missing].mean() < centre(space, spleen)[0] - 10


def test_the_liver_is_thick_on_the_right_and_reaches_across_the_mid_line(space, average):
    liver = anatomy.liver(space, average) < 0
    assert liver[space.x < 0].sum() > 4 * liver[space.x > 0].sum() > 0


def test_an_adrenal_has_two_limbs_behind_and_one_point_in_front(space, average):
    fine = np.arange(-60, 60, 1, dtype=np.float32)
    axes = (fine, fine, fine + np.float32(158))
    near = Space(axes, *np.meshgrid(*axes, indexing="ij"))
    middle = (anatomy.adrenal(near, average, -1) < 0)[:, :, 60]
    rows = [np.flatnonzero(np.diff(middle[:, y].astype(int)) == 1).size for y in range(120)]
    filled = [n for n in rows if n]
    assert filled[0] == 1
    assert 2 in filled
