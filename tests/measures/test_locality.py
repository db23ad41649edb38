import pytest
import torch

from measures.flows import flow_of
from segtrace.errors import InputError
from segtrace.measures.localisation import measure
from segtrace.measures.locality import locality, parts

MASK = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
MASK[..., 1:3, 1:7] = True


def test_the_same_map_for_both_parts_has_no_locality_and_disjoint_maps_have_all() -> None:
    first = torch.zeros(1, 1, 2, 8, 8)
    first[..., 1, 1] = 2e-30
    second = first.clone() * 3
    second[0, 0, 1] = 0
    second[0, 0, 1, 5, 5] = 1.0
    masks = MASK.expand(1, 2, 8, 8)
    found = locality(flow_of({"head": first}, masks), flow_of({"head": second}, masks))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.0, 1.0]).double())


def test_a_dead_map_has_no_locality() -> None:
    alive, dead = torch.ones(1, 1, 1, 8, 8), -torch.ones(1, 1, 1, 8, 8)
    found = locality(flow_of({"head": alive}, MASK), flow_of({"head": dead}, MASK))
    assert found.isnan().all()


def test_measure_takes_the_two_parts() -> None:
    flow = flow_of({"head": torch.ones(1, 1, 1, 8, 8)}, MASK)
    found = measure(flow, MASK, measures="all", parts=(flow, flow))["locality"]
    assert abs(found.item()) < 1e-12


def test_flows_of_other_stages_are_refused() -> None:
    maps = torch.ones(1, 1, 1, 8, 8)
    with pytest.raises(InputError, match="enc1 and head"):
        locality(flow_of({"enc1": maps}, MASK), flow_of({"head": maps}, MASK))


def test_an_organ_in_two_pieces_is_split_into_its_pieces() -> None:
    mask = MASK.clone()
    mask[..., 5:8, 5:8] = True
    mask[..., 7, 0] = True  # a speck is no instance
    first, second = parts(mask)
    assert (first | second).sum() == mask.sum() - 1
    assert torch.equal(first, MASK)


def test_pieces_that_touch_at_a_corner_are_two() -> None:
    """Cut in halves at its centre, such an organ would lose a corner of the larger piece."""
    larger, smaller = torch.zeros(2, 1, 1, 12, 12, dtype=torch.bool)
    larger[..., 1:7, 1:7] = True
    smaller[..., 7:9, 7:9] = True
    first, second = parts(larger | smaller)
    assert torch.equal(first, larger)
    assert torch.equal(second, smaller)


def test_an_organ_in_one_piece_is_cut_across_its_longer_axis() -> None:
    first, second = parts(MASK)
    halves = {
        tuple(part.any(-2).flatten().nonzero().flatten().tolist()) for part in (first, second)
    }
    assert halves == {(1, 2, 3), (4, 5, 6)}
    assert not (first & second).any()


def test_an_organ_of_a_volume_is_split_across_its_longest_axis() -> None:
    mask = torch.zeros(1, 1, 8, 5, 5, dtype=torch.bool)
    mask[..., 1:7, 1:4, 2:4] = True
    first, second = parts(mask)
    planes = {tuple(part.flatten(3).any(-1).flatten().nonzero().flatten().tolist())
              for part in (first, second)}  # fmt: skip
    assert planes == {(1, 2, 3), (4, 5, 6)}
    mask[..., 3:5, :, :] = False  # two pieces, one above the other
    assert {part.sum().item() for part in parts(mask)} == {12}
    one, other = (flow_of({"head": part[None].float()}, mask) for part in parts(mask))
    assert locality(one, other).item() == 1
    assert abs(locality(one, one).item()) < 1e-12


def test_an_absent_organ_has_two_empty_parts() -> None:
    first, second = parts(torch.zeros_like(MASK))
    assert not first.any()
    assert not second.any()
