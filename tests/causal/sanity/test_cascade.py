"""The cascade beside a slow loop, and its verdicts on maps whose answer is known."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import segtrace
from helpers import nets
from helpers.untouched import untouched
from segtrace.activation import Organ
from segtrace.attribution import targets
from segtrace.causal.sanity.cascade import CASCADE, Asked, cascade, others
from segtrace.causal.sanity.groups import groups_of
from segtrace.causal.sanity.judging import FAILS, GIVEN, OPEN, PASSES, TOO_FEW, judge
from segtrace.causal.sanity.randomise import randomise
from segtrace.labelled import tensor
from segtrace.network.stages import resolve

CASES = ("a", "b", "c", "d", "e", "f")


def setting(activation="softmax"):
    net = nets.plain()
    stages = resolve(net, nets.PLAIN_STAGES)
    x, truth = nets.images(6, 16), nets.labels(6, 16, 3)
    organs = {"a": Organ(1, 1), "b": Organ(2, 2)}
    masks = torch.stack([truth == organ.label for organ in organs.values()])
    asked = Asked(stages, x, organs, ["seg_grad_cam", "grad_pam"], activation=activation)
    return net, groups_of(net, stages, x[:1]), asked, masks


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_similarities_are_those_of_a_slow_loop(activation):
    net, groups, asked, masks = setting(activation)
    with untouched(net):
        found = cascade(net, groups, asked, masks, CASES, seeds=2, seed=5)
    drawn, at = [], {"site": "enc1", "rule": "grad_pam", "organ": "a"}
    region = {"a": targets.masked(asked.organs["a"], masks[0], activation)}
    before = slow(net, asked, region)
    for seed in (5, 6):
        twin = copy.deepcopy(net)
        for number, group in enumerate(groups[:2]):
            randomise(twin, group.modules, seed * 3 + number)
        after = slow(twin, asked, region)
        drawn.append([abs(rho(one, other)) for one, other in zip(before, after, strict=True)])
    got = found["spearman"].sel(step="enc2", region="own", **at)
    assert got.values == pytest.approx(np.mean(drawn, 0), abs=1e-9)
    assert found["spearman"].sel(step="trained", region="own", **at).values == pytest.approx(1)
    null = [abs(rho(before[0], other)) for other in before[1:]]
    assert float(found["null_spearman"].sel(**at)[0]) == pytest.approx(np.quantile(null, 0.95))


def slow(net, asked, region):
    flow = segtrace.trace(net, {"enc1": "1"}, asked.images, region, ["grad_pam"])
    return flow.maps["enc1"][0, 0]


def rho(one, other):
    return spearmanr(one.flatten(), other.flatten()).statistic


def test_the_other_region_is_that_of_the_next_organ_in_the_slice():
    masks = torch.zeros(4, 2, 2, 2, dtype=torch.bool)
    masks[0, :, 0, 0] = masks[1, 0, 0, 1] = masks[3, 0, 1, 1] = True
    found = others(masks)
    assert torch.equal(found[0, 0], masks[1, 0])
    assert torch.equal(found[1, 0], masks[3, 0])  # 2 is not there
    assert torch.equal(found[3, 0], masks[0, 0])
    assert not found[0, 1].any()  # alone in its slice
    assert not found[2].any()  # not there


def test_grad_pam_at_the_logits_is_alike_by_construction_and_it_is_the_regions_doing():
    """There its gradient is the region itself, whatever the weights."""
    found = judge(cascade(*setting(), CASES, seeds=2))
    (head,) = [one for one in found if (one.rule, one.site) == ("grad_pam", "head")]
    assert head.verdict == GIVEN
    assert head.given
    assert head.compared == "spearman"
    assert head.all > head.null
    assert head.all > 1.5 * head.elsewhere
    assert head.above != head.above  # nothing stands above the head
    assert head.p_region <= 0.05
    (same,) = [one for one in found if (one.rule, one.site) == ("seg_grad_cam", "head")]
    assert same.region == pytest.approx(1)  # whose maps know no region
    assert same.verdict == PASSES
    assert not same.given


def simulated(by, like, cases=12, sites=4, rules=2):
    """A cascade of maps of smooth noise: ``like`` of what is drawn anew is the trained map."""
    shape = (sites, rules, 1, cases)

    def fields():
        rough = torch.randn(*shape, 4, 4, generator=by).double()
        return torch.nn.functional.interpolate(
            rough.flatten(0, 3)[:, None], size=8, mode="bilinear"
        ).view(*shape, 8, 8)

    trained = fields()
    flat = centred(trained)
    across = (flat @ flat.mT).abs().masked_fill(torch.eye(cases).bool(), torch.nan)
    null = across.nanquantile(0.95, -1)
    steps = [trained, *(like * trained + (1 - like) * fields() for _ in range(sites))]
    own = torch.stack([(centred(one) * flat).sum(-1).abs() for one in steps])[:, None]
    return dataset(own.expand(-1, 2, -1, -1, -1, -1), null)


def centred(maps):
    flat = maps.flatten(-2) - maps.mean((-2, -1))[..., None]
    return flat / flat.norm(dim=-1, keepdim=True)


def dataset(own, null, support=None):
    _, _, sites, rules, _, cases = own.shape
    names = [f"s{n}" for n in range(sites)]
    values = {"spearman": own, "spearman_absolute": own, "ssim": own,
              "support": own * torch.nan if support is None else support,
              "null_spearman": null, "null_spearman_absolute": null,
              "steps": ["trained", *names[::-1]], "regions": ["own", "other"], "sites": names,
              "rules": [f"r{n}" for n in range(rules)], "organs": ["a"],
              "cases": [str(n) for n in range(cases)], "seeds": 1, "permuted": (),
              "unclear": ()}  # fmt: skip
    return CASCADE.dataset(values)


@pytest.mark.parametrize(("cases", "least"), [(5, 0.0), (12, 0.6)])
def test_maps_that_depend_on_nothing_fail_and_those_that_depend_on_all_pass(cases, least):
    """The wrong verdict on any of 8 maps in at most 5 % of networks."""
    by, networks = torch.Generator().manual_seed(cases), 25
    for like, right, wrong in ((0.9, FAILS, PASSES), (0.0, PASSES, FAILS)):
        told = [[one.verdict for one in judge(simulated(by, like, cases))] for _ in range(networks)]
        assert sum(wrong in words for words in told) <= 1
        assert sum(words.count(right) for words in told) >= (1 if like else least) * 8 * networks


def test_at_the_border_either_verdict_is_made_in_at_most_5_percent():
    """Similarities as often above their null as below: neither may be said."""
    by, wrong = torch.Generator().manual_seed(1), {PASSES: 0, FAILS: 0}
    for _ in range(100):
        effect = torch.randn(1, 1, 1, 1, 1, 8, generator=by)  # of the case, in all maps
        own = torch.randn(5, 2, 4, 2, 1, 8, generator=by) + effect
        words = {one.verdict for one in judge(dataset(own, torch.zeros(4, 2, 1, 8)))}
        for verdict in wrong:
            wrong[verdict] += verdict in words
    assert max(wrong.values()) <= 9  # 5 are meant; of 300 such networks 3 % fail, 0 % pass


def test_few_cases_get_no_verdict_and_undecided_ones_say_so():
    by = torch.Generator().manual_seed(0)
    assert {one.verdict for one in judge(simulated(by, 0.0, 4))} == {TOO_FEW}
    own = torch.tensor([1.0, -1, 1, -1, 1, -1]).expand(5, 2, 4, 2, 1, 6)
    assert {one.verdict for one in judge(dataset(own, torch.zeros(4, 2, 1, 6)))} == {OPEN}


def test_the_groups_above_a_stage_are_those_drawn_before_its_own():
    own = torch.arange(5.0).view(5, 1, 1, 1, 1, 1).expand(5, 2, 4, 2, 1, 6)  # number of the step
    by_site = {one.site: one.above for one in judge(dataset(own, torch.zeros(4, 2, 1, 6)))}
    assert by_site["s0"] == 3
    assert by_site["s2"] == 1
    assert by_site["s3"] != by_site["s3"]  # the head
    assert tensor(dataset(own, torch.zeros(4, 2, 1, 6))["ssim"]).shape == own.shape


def test_where_the_support_is_the_regions_doing_the_absolute_map_is_not_judged():
    """A |map| that is its support fails on any network; what the image makes 0 is judged."""
    absolute, signed = torch.full((5, 2, 4, 2, 1, 6), 0.99), torch.full((5, 2, 4, 2, 1, 6), 0.1)
    by, null = torch.Generator().manual_seed(0), torch.full((4, 2, 1, 6), 0.5)
    signed = signed + 0.01 * torch.rand(signed.shape, generator=by)
    for elsewhere, verdict in ((0.1, PASSES), (0.99, FAILS)):
        support = torch.ones(5, 2, 4, 2, 1, 6)
        support[:, 1] = elsewhere
        found = dataset(absolute, null, support)
        found["spearman"] = found["spearman"].copy(data=signed)
        assert {one.verdict for one in judge(found)} == {verdict}
        assert {one.given for one in judge(found)} == {verdict == PASSES}
    support[:, 1] = 0.1
    assert {one.verdict for one in judge(dataset(absolute, null, support))} == {GIVEN}
