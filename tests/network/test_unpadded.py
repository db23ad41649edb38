"""A U-Net without padding: its logits are the middle of the image, its skips are cropped."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from helpers import nets
from helpers.known_checks import by_hand, logits
from helpers.twins.unpadded import EDGES, STAGES, WIDTHS, UNet
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.labelled import tensor
from segtrace.network.hooks import observe
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import undisturbed

X = nets.images(2, 108)
TRUTH = nets.labels(2, 20, 3)
ORGANS = {"a": 1, "b": 2}


def net():
    return nets.stirred(UNet)


def test_stages_and_edges_are_right_where_the_logits_are_smaller_than_the_image():
    net_ = net()
    described = segtrace.describe(net_, X, STAGES, edges=EDGES)
    assert described.gradient_cut == ()
    parts = {edge.name: edge.part for edge in described.edges if edge.argument is not None}
    assert parts == {f"skip_{i + 1}": (0, WIDTHS[2 - i]) for i in range(3)}
    flow = segtrace.trace(net_, STAGES, X, targets.organs(ORGANS, "gt", TRUTH), "grad_pam")
    assert flow.prediction.shape[1:] == (20, 20)
    assert flow.maps["enc1"].shape[3:] == (104, 104)


@pytest.mark.parametrize("i", range(3))
def test_a_cropped_skip_is_cut_as_a_hook_by_hand_cuts_it(i):
    net_ = net()
    sites, width = sites_of(net_, STAGES, EDGES), WIDTHS[2 - i]
    means = collect(net_, sites, [X])
    (edge,) = [edge for edge in sites.edges if edge.name == f"skip_{i + 1}"]
    found = necessity(net_, [edge], X, TRUTH, ORGANS, means)
    with undisturbed(net_, X.device):
        settled = sites.settled(net_, X)
    cropped = observe(net_, settled, X).activations[edge.name]
    mean = cropped.transpose(0, 1).flatten(1).mean(1).view(-1, 1, 1)
    place = (f"up.{i}", 0, (slice(None), slice(width)))
    with by_hand(net_, place, lambda part: mean.expand_as(part)):
        slow = Judge(ORGANS, TRUTH).of(logits(net_, X))
    torch.testing.assert_close(tensor(found.data["scores"])[0], slow.score, equal_nan=True)


def test_a_truth_of_the_images_size_is_refused_with_the_border_that_is_left_out():
    net_, truth = net().float(), nets.labels(2, 108, 3)
    data = DataLoader(TensorDataset(X.float(), truth), batch_size=2)
    with pytest.raises(
        InputError, match=r"output=lambda out: .*pad\(out, \[44, 44, 44, 44\]\)"
    ) as e:
        segtrace.explain(net_, data, STAGES, ORGANS)
    output = eval(str(e.value).split("output=")[1].split(" puts")[0])
    explained = segtrace.explain(net_, data, STAGES, ORGANS, output=output)
    middle = segtrace.trace(
        net_, STAGES, X[:1].float(), targets.organs(ORGANS, "gt", truth[:1, 44:64, 44:64])
    )
    torch.testing.assert_close(
        explained.record.flow.maps["enc1"][0, :, 0], middle.maps["enc1"][0, :, 0]
    )


def test_its_padded_twin_has_logits_of_the_images_size():
    net_ = nets.stirred(lambda: UNet(padding=1))
    described = segtrace.describe(net_, nets.images(1, 32), STAGES, edges=EDGES)
    assert described.gradient_cut == ()
    assert described.stages[-1].cells == (32, 32)
