import pytest
import torch

from attribution.nets import flexible_unet, images, labels
from causal import nets
from segtrace import InputError
from segtrace.attribution.sites import chosen, sites_of
from segtrace.causal.patching import Patched, patch

X, TRUTH = nets.blob(4)
A, B = (X[:1], TRUTH[:1]), (X[1:2], TRUTH[1:2])  # squares at places that do not overlap
ORGAN = {"organ": 1}


def sites(net, *names):
    return chosen(sites_of(net, nets.ROUTED_STAGES, nets.ROUTED_EDGES), names)


def test_all_of_the_organ_comes_along_the_edge_that_carries_it_and_nothing_over_the_other():
    net = nets.Routed(1.0, 0.0)
    over_skip = patch(net, sites(net, "skip_1"), A, B, ORGAN)
    assert over_skip.own.item() == 1
    assert over_skip.before.item() == 0
    assert over_skip.came_along().item() == 1
    assert over_skip.kept.item() == 0
    over_up = patch(net, sites(net, "up_1"), A, B, ORGAN)
    assert over_up.came_along().item() == 0
    assert over_up.kept.item() == 1


def test_patching_every_input_of_a_stage_makes_it_the_other_slice():
    net = nets.Routed(0.5, 0.5)
    found = patch(net, sites(net, "skip_1", "up_1"), A, B, ORGAN)
    assert torch.equal(found.after, found.own)


@pytest.mark.parametrize("dims", nets.DIMENSIONAL)
def test_lines_slices_and_volumes_are_patched_as_by_hand(dims):
    net, x, truth = nets.dimensional(dims)
    places = chosen(sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES), ["skip_1"])
    a, b = (x[:1], truth[:1]), (x[1:2], truth[1:2])
    found = patch(net, places, a, b, {"a": 1})
    with torch.no_grad():
        mixed = net.head(net.dec(torch.cat((net.up(net.low(net.enc(x[1:2]))), net.enc(x[:1])), 1)))
    assert float(found.after) == pytest.approx(nets.dice_by_hand(mixed[0], truth[0], 1))
    assert float(found.kept) == pytest.approx(nets.dice_by_hand(mixed[0], truth[1], 1))


def test_a_slice_patched_with_itself_stays_as_it_is():
    net, x, truth = flexible_unet(), images(2, 32), labels(2, 32)
    places = chosen(sites_of(net), ["skip_2", "up_3"])
    found = patch(net, places, (x, truth), (x, truth), {"a": 1, "b": 2})
    assert torch.equal(found.after, found.before)
    assert found.came_along().isnan().all()  # there is nothing to gain


def test_below_two_hundredths_of_dice_there_is_nothing_to_bring_along():
    own = torch.tensor([[0.519, 0.521, 0.9, 0.4]], dtype=torch.float64)
    before, after = torch.full_like(own, 0.5), torch.full_like(own, 0.51)
    found = Patched(("organ",), own, before, after, after).came_along()
    assert found[0, [0, 3]].isnan().all()
    assert found[0, 1:3].tolist() == pytest.approx([0.01 / 0.021, 0.01 / 0.4])


def test_mistakes_are_named():
    net = nets.Routed()
    with pytest.raises(InputError, match="no site is named"):
        patch(net, [], A, B, ORGAN)
    with pytest.raises(InputError, match="give as many of the same size"):
        patch(net, sites(net, "skip_1"), A, (X, TRUTH), ORGAN)
    with pytest.raises(InputError, match="organ 'spleen' is in none"):
        patch(net, sites(net, "skip_1"), A, B, {"spleen": 2})
