import pytest
import torch

from segtrace.causal.faithfulness.removal import counts, marked, outside, scattered, shifted

EVERYWHERE = torch.ones(2, 4, 4, dtype=torch.bool)


def maps(seed=0):
    return torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_only_positive_cells_count_up_to_the_fraction_and_at_least_one():
    one = torch.arange(16.0).view(1, 4, 4) - 12.5  # three are positive
    assert counts(one, 0.25, EVERYWHERE[:1]).tolist() == [3]
    assert counts(one + 13, 0.25, EVERYWHERE[:1]).tolist() == [4]
    assert counts(one, 0.001, EVERYWHERE[:1]).tolist() == [1]
    assert counts(-one.abs(), 0.25, EVERYWHERE[:1]).tolist() == [0]
    assert counts(one, 0.25, one[:1] < 2).tolist() == [2]


def test_the_largest_cells_are_marked():
    one = torch.arange(16.0).view(1, 4, 4)
    found = marked(one, torch.tensor([4]), EVERYWHERE[:1], generator())
    assert one[found].tolist() == [12, 13, 14, 15]


def test_which_of_equal_cells_are_marked_is_drawn():
    one = torch.ones(1, 4, 4)
    one[0, 1, 2] = one[0, 3, 0] = 2
    found = [marked(one, torch.tensor([4]), EVERYWHERE[:1], generator(seed)) for seed in range(9)]
    assert all(marks.sum() == 4 and marks[0, 1, 2] and marks[0, 3, 0] for marks in found)
    assert any(not torch.equal(found[0], other) for other in found)


def test_only_allowed_cells_are_marked_and_a_slice_with_too_few_marks_none():
    allowed = EVERYWHERE.clone()
    allowed[0, :2] = False
    allowed[1, :, 1:] = False
    allowed[1, 0] = False  # three cells are left
    found = marked(maps(), torch.tensor([4, 4]), allowed, generator())
    assert found.flatten(1).sum(1).tolist() == [4, 0]
    assert not (found & ~allowed).any()


@pytest.mark.parametrize("cells", [(9,), (6, 8), (4, 5, 6)])
def test_a_moved_pattern_keeps_its_size_and_stays_on_allowed_cells(cells):
    marks, allowed = torch.zeros(2, *cells, dtype=torch.bool), torch.ones(2, *cells).bool()
    marks[(slice(None), *[slice(1, 3)] * len(cells))] = True
    allowed[:, 0] = False
    found = shifted(marks, allowed, generator())
    assert torch.equal(found.flatten(1).sum(1), marks.flatten(1).sum(1))
    assert not (found & ~allowed).any()
    assert not torch.equal(found, marks)
    again = shifted(marks, allowed, generator())
    assert torch.equal(found, again)
    narrow = allowed & (torch.rand(allowed.shape, generator=generator()) < 0)
    assert not shifted(marks, narrow, generator()).any()  # as many cells are not there


def test_a_pattern_that_fits_elsewhere_keeps_its_shape():
    marks = torch.zeros(1, 8, 8, dtype=torch.bool)
    marks[0, 1:3, 1:4] = True
    for seed in range(5):
        found = shifted(marks, torch.ones_like(marks), generator(seed))[0].nonzero()
        assert torch.equal(found - found[0], marks[0].nonzero() - marks[0].nonzero()[0])


def test_chance_is_a_function_of_the_generator():
    one, again, other = (scattered(maps(), generator(seed)) for seed in (1, 1, 2))
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
