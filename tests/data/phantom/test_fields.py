import numpy as np
import pytest

from segtrace.data.phantom import fields
from segtrace.data.phantom.fields import FAR, WARP, Space, rounded_max


@pytest.fixture
def space():
    """Unwarped, 2 mm: x, y, z from -60 to 60."""
    axis = np.arange(-60, 61, 2, dtype=np.float32)
    return Space((axis, axis, axis), *np.meshgrid(axis, axis, axis, indexing="ij"))


@pytest.fixture
def warped(space):
    """Every voxel displaced by up to the allowed distance."""
    random = np.random.default_rng(0)
    moved = (
        (grid + random.uniform(-WARP, WARP, grid.shape)).astype(np.float32)
        for grid in (space.x, space.y, space.z)
    )
    return Space(space.axes, *moved)


def at(space, x, y, z):
    return tuple(
        int(np.searchsorted(axis, v)) for axis, v in zip(space.axes, (x, y, z), strict=True)
    )


def test_an_ellipsoid_is_zero_on_its_surface_and_counts_in_its_shortest_radius(space):
    field = space.ellipsoid((2, 0, 0), (20, 10, 40))
    assert field[at(space, 2, 0, 0)] == -10
    for surface in ((22, 0, 0), (-18, 0, 0), (2, 10, 0), (2, 0, -40)):
        assert field[at(space, *surface)] == pytest.approx(0, abs=1e-5)
    assert field[at(space, 42, 0, 0)] == pytest.approx(10)


def test_an_ellipsoid_turns_about_z_and_tilts_about_y(space):
    turned = space.ellipsoid((0, 0, 0), (40, 10, 10), turn=90)
    assert turned[at(space, 0, 40, 0)] == pytest.approx(0, abs=1e-4)
    assert turned[at(space, 40, 0, 0)] == pytest.approx(30, abs=1e-4)
    tilted = space.ellipsoid((0, 0, 0), (40, 10, 10), tilt=90)
    assert tilted[at(space, 0, 0, 40)] == pytest.approx(0, abs=1e-4)
    assert tilted[at(space, 40, 0, 0)] == pytest.approx(30, abs=1e-4)


def test_a_positive_turn_leads_from_left_to_back(space):
    field = space.ellipsoid((0, 0, 0), (40, 8, 8), turn=45)
    assert field[at(space, 20, 20, 0)] < 0 < field[at(space, 20, -20, 0)]


def test_a_tube_is_mm_from_its_axis_less_a_radius_that_changes_along_it(space):
    field = space.tube([(0, 0, -40), (0, 0, 40)], [10, 20])
    assert field[at(space, 0, 0, -40)] == -10
    assert field[at(space, 0, 0, 0)] == -15
    assert field[at(space, 18, 0, 0)] == pytest.approx(3)
    assert field[at(space, 0, 0, 56)] == pytest.approx(-4)  # round ends


def test_a_bent_tube_is_the_union_of_its_parts(space):
    path = [(-30, 0, 0), (0, 0, 0), (0, 30, 0)]
    parts = [space.tube(path[:2], [8, 8]), space.tube(path[1:], [8, 8])]
    np.testing.assert_array_equal(space.tube(path, [8, 8, 8]), np.minimum(*parts))


def test_a_slab_is_mm_from_its_middle_sheet(space):
    field = space.slab((0, 4, 0), (0, 2, 0), half=6, reach=60)
    assert field[at(space, -50, 4, 50)] == -6
    assert field[at(space, 10, 10, 0)] == 0
    assert field[at(space, 0, -10, 0)] == pytest.approx(8)


def test_a_cylinder_has_no_end(space):
    field = space.cylinder((0, 4), (40, 20))
    assert (field == field[:, :, :1]).all()
    assert field[at(space, 40, 4, 0)] == pytest.approx(0, abs=1e-5)
    assert field[at(space, 0, 4, 0)] == -20


def test_a_rounded_edge_draws_back_half_and_elsewhere_hardly():
    a, b = np.float32([0, -50, 5]), np.float32([0, -3, -60])
    np.testing.assert_allclose(rounded_max(a, b, 6), [3, -2.81, 5.14], atol=0.01)


SHAPES = {
    "ellipsoid": lambda s: s.ellipsoid((20, -10, 5), (18, 9, 14)),
    "turned": lambda s: s.ellipsoid((-20, 0, 0), (30, 6, 12), turn=40, tilt=-30),
    "tube": lambda s: s.tube([(-30, 0, 0), (0, 10, 20), (20, 0, 30)], [5, 9, 4]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_part_of_a_shape_is_cut_off_by_the_box_it_is_computed_in(warped, shape, monkeypatch):
    boxed = SHAPES[shape](warped)
    assert (boxed == FAR).any()
    monkeypatch.setattr(fields, "WARP", 1e6)
    whole = SHAPES[shape](warped)
    assert not (whole == FAR).any()
    assert (whole < 0).sum() > 50
    np.testing.assert_array_equal(boxed < 0, whole < 0)
    np.testing.assert_array_equal(boxed[boxed < 0], whole[whole < 0])


def test_a_box_without_room_for_the_warp_would_cut(warped, monkeypatch):
    whole = SHAPES["ellipsoid"](warped)
    monkeypatch.setattr(fields, "WARP", 2.0)
    assert (SHAPES["ellipsoid"](warped) < 0).sum() < (whole < 0).sum()
