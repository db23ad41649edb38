import itertools

import pytest
import torch

from segtrace.causal.faithfulness.removal import marked, outside, scattered, shifted

EVERYWHERE = torch.ones(2, 4, 4, dtype=torch.bool)


def maps(seed=0):
    return torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_the_largest_cells_are_marked_and_their_number_is_the_fraction():
    one = torch.arange(16.0).view(1, 4, 4)
    found = marked(one, 0.25, EVERYWHERE[:1])
    assert one[found].tolist() == [12, 13, 14, 15]
    assert marked(one, 0.001, EVERYWHERE[:1]).sum() == 1


def test_of_equal_cells_as_many_are_marked_as_are_still_to_be_and_no_more():
    one = torch.ones(1, 4, 4)
    assert marked(one, 0.25, EVERYWHERE[:1]).sum() == 4
    one[0, 1, 2] = one[0, 3, 0] = 2
    found = marked(one, 0.25, EVERYWHERE[:1])
    assert found.sum() == 4
    assert found[0, 1, 2]
    assert found[0, 3, 0]


def test_only_allowed_cells_are_marked_and_a_slice_with_too_few_marks_none():
    allowed = EVERYWHERE.clone()
    allowed[0, :2] = False
    allowed[1, :, 1:] = False
    allowed[1, 0] = False  # three cells are left
    found = marked(maps(), 0.25, allowed)
    assert found.flatten(1).sum(1).tolist() == [4, 0]
    assert not (found & ~allowed).any()


def test_a_shifted_map_has_the_same_values_at_other_places():
    generator = torch.Generator().manual_seed(0)
    one = maps()
    for _ in range(20):
        moved = shifted(one, generator)
        assert torch.equal(moved.flatten(1).sort().values, one.flatten(1).sort().values)
        assert not any(torch.equal(a, b) for a, b in zip(moved, one, strict=True))


@pytest.mark.parametrize("cells", [(9,), (3, 4), (2, 3, 4)])
def test_maps_of_any_number_of_axes_are_marked_moved_and_kept_outside_alike(cells):
    one = torch.rand(3, *cells, generator=torch.Generator().manual_seed(0))
    count = one[0].numel() // 3
    found = marked(one, 1 / 3, torch.ones_like(one, dtype=torch.bool))
    for n in range(3):
        largest = sorted(one[n].flatten().tolist())[-count:]
        assert sorted(one[n][found[n]].tolist()) == largest
    moved = shifted(one, torch.Generator().manual_seed(0))
    for before, after in zip(one, moved, strict=True):
        rolls = [
            step
            for step in itertools.product(*(range(size) for size in cells))
            if torch.equal(before.roll(step, tuple(range(len(cells)))), after)
        ]
        assert len(rolls) == 1
        assert any(rolls[0])
    mask = torch.zeros(1, *(4 * size for size in cells), dtype=torch.bool)
    mask[(0, *[slice(0, 4)] * len(cells))] = True  # the first cell; the rim of 2 px its neighbours
    expected = torch.ones(1, *cells, dtype=torch.bool)
    expected[(0, *[slice(0, 2)] * len(cells))] = False
    assert torch.equal(outside(mask, cells), expected)


def test_shifts_and_chance_are_functions_of_the_generator():
    for make in (shifted, scattered):
        one, again, other = (
            make(maps(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(one, again)
        assert not torch.equal(one, other)


def test_outside_holds_neither_the_organ_nor_its_rim():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 0:4, 0:4] = True
    found = outside(mask, (4, 4))
    # the organ is the first cell; the rim of 2 px reaches into its neighbours
    expected = torch.ones(4, 4, dtype=torch.bool)
    expected[:2, :2] = False
    assert torch.equal(found[0], expected)
