"""Planes of volumes: the same place of the patient however its volume is stored."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from measures.flows import flow_of
from segtrace.report.pictures.mosaic import flow_picture
from segtrace.report.record import Record
from segtrace.report.scene import Scene
from segtrace.report.volumes.planes import cut, directions, through

SIZE = (4, 6, 8)
"""Voxels from left to right, from back to front, from the feet up."""
RAS = torch.arange(4 * 6 * 8.0).reshape(SIZE) / 192
"""A value a place, that of no other."""


def stored(axcodes, world=RAS):
    """A volume of the world as it lies in an array of these axes."""
    ways = nib.orientations.axcodes2ornt(axcodes)
    order = np.argsort(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ways)[:, 0]
    )
    found = world.permute(*map(int, order))
    turned = [axis for axis, code in enumerate(axcodes) if code in "LPI"]
    return found.flip(turned)


def record_of(axcodes, world=RAS, truth=None):
    image = stored(axcodes, world)[None, None]
    organ = torch.zeros(SIZE, dtype=torch.long) if truth is None else truth
    masks = stored(axcodes, organ)[None] == 1
    flow = flow_of({"head": image[:, None].double() - 0.5}, masks[None], organs=("organ",))
    scene = Scene(image, ("p",), (0,), {"organ": 1}, stored(axcodes, organ)[None], axcodes=axcodes,
                  spacing=torch.tensor([[1.0, 2, 3]]))  # fmt: skip
    return Record(flow, scene, "gt", 3)


EVERY = ("RAS", "LPS", "SPL", "PIR", "ASL", "IPR")


@pytest.mark.parametrize("axcodes", EVERY)
def test_views_show_the_same_place_however_the_volume_is_stored(axcodes):
    axial, coronal, sagittal = directions(axcodes)
    expected = {
        # from the feet: rows to the back, columns to the patient's left
        axial: (RAS[:, :, 5].flip(0, 1).T, "S", 5, 8),
        # from the front: rows to the feet, columns to the patient's left
        coronal: (RAS[:, 2, :].flip(0, 1).T, "A", 2, 6),
        # rows to the feet, columns to the back
        sagittal: (RAS[1, :, :].flip(0, 1).T, "R", 1, 4),
    }
    for direction, (plane, end, number, count) in expected.items():
        at = number if end in axcodes else count - 1 - number
        found = cut(record_of(axcodes), direction, [(0, at)])
        assert torch.equal(found.scene.image[0, 0], plane), direction.name
        torch.testing.assert_close(found.flow.maps["head"][0, 0, 0], plane.double() - 0.5)
        assert found.scene.name(0) == f"p, volume 0, {direction.name} {at}"
        assert found.scene.sides_known == (direction is not sagittal)
        mm = dict(zip(axcodes, (1.0, 2.0, 3.0), strict=True))
        rows, columns = (next(mm[c] for c in axcodes if c in pair) for pair in
                         {"axial": ("AP", "LR"), "coronal": ("IS", "LR"), "sagittal": ("IS", "AP")}
                         [direction.name.split()[0]])  # fmt: skip
        assert found.scene.spacing.tolist() == [[rows, columns]]


def test_axes_of_which_nothing_is_known_are_shown_as_they_are():
    record = replace(record_of("RAS"), scene=replace(record_of("RAS").scene, axcodes=""))
    for axis, direction in enumerate(directions("")):
        found = cut(record, direction, [(0, 1)])
        assert torch.equal(found.scene.image[0, 0], RAS.select(axis, 1))
        assert not found.scene.sides_known


def test_a_plane_runs_through_the_cells_of_a_coarse_map_that_it_lies_in():
    record, direction = record_of("SPL"), directions("SPL")[0]
    coarse = torch.arange(3.0)[:, None, None].expand(1, 1, 1, 3, 2, 2)
    record = replace(record, flow=replace(record.flow, maps={"deep": coarse}))
    seen = [float(cut(record, direction, [(0, plane)]).flow.maps["deep"].max())
            for plane in range(8)]  # fmt: skip
    assert seen == [0, 0, 0, 1, 1, 2, 2, 2]  # centres at 1/16, 3/16, …, cells of a third


def test_the_plane_with_most_of_the_organ_is_drawn_with_the_volume_s_numbers():
    truth = torch.zeros(SIZE, dtype=torch.long)
    truth[:, :, 6] = 1
    truth[1:3, 1:3, 2:5] = 1
    record = record_of("LPS", truth=truth)
    shown = through(record, "organ", [0])
    assert shown.scene.planes == (("axial plane", 6),)
    assert torch.equal(shown.gain, record.gain)
    assert shown.peak("head", 0, 0, 0) == float(record.flow.maps["head"].max())
    picture = flow_picture(record, "rule0", "organ")
    assert not np.array_equal(picture, flow_picture(shown, "rule0", "organ"))  # it says of what
    nothing = record_of("LPS")
    assert through(nothing, "organ", [0]).scene.planes == (("axial plane", 4),)  # the middle


def test_a_weak_plane_is_drawn_weak():
    """Colours are of the volume's maximum, which lies in another plane."""
    world = torch.zeros(SIZE)
    world[:, :, 1], world[:, :, 7] = 0.6, 1.0
    truth = torch.zeros(SIZE, dtype=torch.long)
    truth[1:3, 1:3, 1] = 1
    weak, alone = record_of("SPL", world, truth), record_of("SPL", world.clamp(max=0.6), truth)
    pictures = [flow_picture(one, "rule0", "organ") for one in (weak, alone)]
    assert pictures[0].mean() < pictures[1].mean()
