"""Attribution patching against a slow loop in float64, and against cuts where it must be exact."""

import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.attribution import evidence, targets, trace
from segtrace.attribution.flow import Status
from segtrace.attribution.patching import Estimates, patching_rule
from segtrace.causal.baselines import collect
from segtrace.causal.replacement import CUTS, replacing
from segtrace.network.edges import resolve
from segtrace.network.hooks import edit, observe
from segtrace.network.sites import sites_of

ORGANS = {"a": Organ(1, 1), "b": Organ(2, 2)}


def linear(channels=3):
    """Nothing but convolutions behind its stages."""
    return nets.stirred(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2, padding=1),
            nn.Upsample(scale_factor=2), nn.Conv2d(5, channels, 3, padding=1),
        )
    )  # fmt: skip


STAGES = {"enc1": "1", "enc2": "2"}
X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
TRAINING = nets.images(4, 16, seed=8)


def truth_of(activation):
    """Under a sigmoid organs may overlap."""
    if activation == "softmax":
        return TRUTH
    masks = torch.stack([TRUTH == 0, TRUTH == 1, TRUTH == 2], 1)
    masks[:, 2, :8, :8] = True
    return masks


def put(cut, net, sites, x=X):
    baselines = collect(net, sites, [TRAINING.repeat(1, 1, *[n // 16 for n in x.shape[2:]])],
                        maps=True)  # fmt: skip
    return replacing(net, sites, x, [str(n) for n in range(len(x))], cut, baselines, draws=2)


def drawn(cut, net, sites, x=X):
    """As a rule's reference: the mean over the draws."""
    of, draws = put(cut, net, sites, x), 2 if cut == "resample" else 1
    return lambda site, here, which: sum(of(site, here, which, d) for d in range(draws)) / draws


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("cut", CUTS)
def test_it_is_what_the_cut_costs_where_the_rest_is_linear(cut, activation):
    net, truth = linear(), truth_of(activation)
    sites = sites_of(net, STAGES, {})
    wanted = targets.organs(ORGANS, "gt", truth, activation)
    rule = patching_rule(drawn(cut, net, sites))
    flow = trace.trace(net, sites, X, wanted, rule, activation=activation)
    baselines = collect(net, sites, [TRAINING], maps=True)
    real = segtrace.necessity(
        net, sites, X, truth, ORGANS, baselines, cut=cut, draws=2, activation=activation
    ).score_lost.values  # of the mean over the organ's pixels
    for s, site in enumerate(flow.sites):
        estimate = flow.maps[site][0].flatten(2).sum(2) / flow.region_px
        assert torch.allclose(estimate.nan_to_num(), torch.tensor(real[s]).nan_to_num())
    assert flow.rules == ("attribution_patching",)


@pytest.mark.parametrize("score", ["logit", "prob"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_it_is_a_loop_over_channels_and_cells_at_stages_and_edges(activation, score):
    net, x = nets.basic_unet(3), nets.images(2, 32)
    truth = truth_of(activation)[:2].repeat_interleave(2, -1).repeat_interleave(2, -2)
    edges = {edge.name: edge for edge in resolve(net)[:2]}
    sites = sites_of(net, {"enc1": "conv_0", "dec2": "upcat_3"}, edges)
    reference = drawn("mean_map", net, sites, x)
    wanted = targets.organs(ORGANS, "gt", truth, activation)
    flow = trace.trace(net, sites, x, wanted, patching_rule(reference), score,
                       activation=activation)  # fmt: skip
    assert set(edges) < set(flow.sites)
    share = {"softmax": lambda t: t.softmax(1), "sigmoid": torch.sigmoid}[activation]
    for site in sites:
        whole = observe(net, [site], x).activations[site.name].detach()
        instead = reference(site.name, whole, slice(0, 2))
        for o, channel in enumerate((1, 2)):
            kept = whole.clone().requires_grad_()
            with edit(net, {site: lambda _, kept=kept: kept * 1}):
                logits = net(x)
            found = logits if score == "logit" else share(logits)
            mask = truth[:, channel] if activation == "sigmoid" else truth == channel
            (gradient,) = torch.autograd.grad((found[:, channel] * mask).sum(), kept)
            slow = torch.zeros(2, *whole.shape[2:], dtype=torch.float64)
            for k in range(whole.shape[1]):
                slow += gradient[:, k] * (whole[:, k] - instead[:, k])
            torch.testing.assert_close(flow.maps[site.name][0, o], slow)


def test_all_sites_and_organs_share_one_forward_and_a_backward_an_organ(monkeypatch):
    net, backwards, forwards = nets.plain(), [], []
    hear_gradients = evidence.hear_gradients
    monkeypatch.setattr(
        evidence, "hear_gradients", lambda *given: [backwards.append(1), hear_gradients(*given)][1]
    )
    handle = net.register_forward_hook(lambda *_: forwards.append(1))
    sites = sites_of(net, nets.PLAIN_STAGES, {})
    means = collect(net, sites, [TRAINING]).channels
    forwards.clear()
    segtrace.attribution_patching(
        net, nets.PLAIN_STAGES, X, targets.organs(ORGANS, "gt", TRUTH), means
    )
    handle.remove()
    assert (len(forwards), len(backwards)) == (1, 2)


@pytest.mark.parametrize("rules", [("seg_grad_cam",), ("seg_grad_cam", "grad_pam")])
@pytest.mark.parametrize("build", [nets.basic_unet, nets.flexible_unet])
def test_a_trace_estimates_for_nothing_what_the_maps_add_up_to(build, rules, monkeypatch):
    net, x = build(3), nets.images(2, 64)
    edges = resolve(net)
    sites = sites_of(net, None, {edge.name: edge for edge in edges})
    means = collect(net, sites, [nets.images(3, 64, seed=8)]).channels
    wanted = targets.organs(ORGANS, "gt", nets.labels(2, 64, 3), "softmax")
    bare = trace.trace(net, None, x, wanted, rules)
    passes, hear_gradients = [], evidence.hear_gradients
    monkeypatch.setattr(
        evidence, "hear_gradients", lambda *given: [passes.append(1), hear_gradients(*given)][1]
    )
    flow = trace.trace(net, None, x, wanted, rules, estimates=Estimates(means, edges))
    assert len(passes) == 2  # an organ
    assert flow.sites == bare.sites
    assert flow.estimated == sites.names
    for site in bare.sites:  # to the last bit, as what is logged must repeat
        assert torch.equal(flow.maps[site], bare.maps[site])
    assert bare.estimates is None
    whole = segtrace.attribution_patching(net, sites, x, wanted, means)
    for e, site in enumerate(flow.estimated):
        torch.testing.assert_close(flow.estimates[e], whole.maps[site][0].flatten(2).sum(2))


def test_estimates_of_other_networks_are_refused():
    with pytest.raises(InputError, match="a value a channel"):
        Estimates({"enc2": torch.zeros(4, 2, 2)})
    for means, message in (({"enc1": torch.zeros(4)}, "no baseline of 'enc2'"),
                           ({"enc2": torch.zeros(4)}, "belongs to another network")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            trace.trace(nets.plain(), {"enc2": "3"}, X, targets.organ(1, "all"),
                        estimates=Estimates(means))  # fmt: skip


def test_a_slice_has_its_own_baseline_in_whatever_batch_it_runs():
    net, own = nets.plain(), {"enc2": nets.images(5, 8, 5, seed=4)}
    x = nets.images(5, 16)
    wanted = targets.organ(1, "all")
    flow = segtrace.attribution_patching(net, {"enc2": "3"}, x, wanted, own)
    for n in range(5):
        alone = segtrace.attribution_patching(
            net, {"enc2": "3"}, x[n : n + 1], wanted, {"enc2": own["enc2"][n]}
        )
        torch.testing.assert_close(flow.maps["enc2"][:, :, n], alone.maps["enc2"][:, :, 0])


def test_a_map_that_marks_nothing_is_dead():
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 2, 1)).double()
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[2].weight.fill_(-1.0)
    x, weights = torch.full((1, 1, 2, 2), 0.5).double(), torch.ones(1, 2, 2, 2).double()
    flow = segtrace.attribution_patching(net, {"a": "0"}, x, weights, {"a": torch.full((1,), -2.0)})
    assert flow.status.flatten().tolist() == [int(Status.DEAD)]


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"enc2": torch.zeros(4)}, r"shape \(4,\); this network has \(5,\) channels there: it be"),
        ({"enc2": torch.zeros(5, 3, 3)}, "belongs to another network"),
        ({"enc1": torch.zeros(4)}, "no baseline of 'enc2'"),
    ],
)
def test_a_baseline_of_another_network_is_refused(baseline, message):
    with pytest.raises(InputError, match=message):
        segtrace.attribution_patching(
            nets.plain(), {"enc2": "3"}, X, targets.organ(1, "all"), baseline
        )
