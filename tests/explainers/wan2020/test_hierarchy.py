"""The tree against a slow clustering, soft inference and decisions against numbers by hand."""

import math

import pytest
import torch

import segtrace
from helpers import nets
from segtrace.attribution import targets
from segtrace.explainers.wan2020.hierarchy import Decision, DecisionTarget, Tree

FOUR = Tree((Decision(1, (0, 1), (2, 3), 2.0), Decision(2, (0,), (1,), 1.0),
             Decision(3, (2,), (3,), 1.0)))  # fmt: skip
LOGITS = torch.tensor([1.0, 3, 2, -2], dtype=torch.float64).reshape(1, 4, 1, 1)


def slow_ward(rows):
    """Groups as they are merged, with Ward's distance of their means, pair by pair."""
    groups = {(c,): row / row.norm() for c, row in enumerate(rows)}
    merged = []
    while len(groups) > 1:
        pairs = [(a, b) for a in groups for b in groups if a < b]

        def distance(pair):
            a, b = map(len, pair)
            apart = float((groups[pair[0]] - groups[pair[1]]).norm())
            return math.sqrt(2 * a * b / (a + b)) * apart

        a, b = min(pairs, key=distance)
        merged.append((a, b, distance((a, b))))
        joined = (len(a) * groups.pop(a) + len(b) * groups.pop(b)) / (len(a) + len(b))
        groups[tuple(sorted(a + b))] = joined
        del a, b
    return merged[::-1]


@pytest.mark.parametrize("seed", range(4))
def test_the_tree_is_wards_of_rows_of_length_one(seed):
    chance = torch.Generator().manual_seed(seed)
    rows = torch.randn(7, 12, generator=chance, dtype=torch.float64)
    rows *= torch.rand(7, 1, generator=chance) * 50  # lengths must not matter
    tree = Tree.of(rows)
    slow = slow_ward(rows)
    assert [(one.left, one.right) for one in tree.decisions] == [pair[:2] for pair in slow]
    assert [one.height for one in tree.decisions] == pytest.approx([pair[2] for pair in slow])
    assert sorted(tree.leaves) == list(range(7))
    for one in tree.decisions:  # every group stands together
        at = sorted(map(tree.leaves.index, one.below))
        assert at == list(range(at[0], at[0] + len(at)))


def test_inference_by_hand():
    """C = 4, {{0, 1}, {2, 3}}, logits (1, 3, 2, -2): the numbers of methods.md 1.8."""
    root, left, _ = FOUR.decisions
    assert root.logits(LOGITS).flatten().tolist() == [2.0, 0.0]
    assert root.logits(LOGITS).softmax(1).flatten().tolist() == pytest.approx(
        [0.8808, 0.1192], abs=5e-5
    )
    assert left.logits(LOGITS).softmax(1).flatten().tolist() == pytest.approx(
        [0.1192, 0.8808], abs=5e-5
    )
    chances = FOUR.logprob(LOGITS).exp().flatten().tolist()
    assert chances[1] == pytest.approx(0.7758, abs=5e-5)
    assert sum(chances) == pytest.approx(1)


def test_inference_equals_a_loop_over_pixels_and_paths():
    logits = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(3)).double()
    tree = Tree.of(torch.randn(6, 5, generator=torch.Generator().manual_seed(4)))
    found = tree.logprob(logits).exp()
    for n, row, column in torch.ones(2, 3, 4).nonzero().tolist():
        y = logits[n, :, row, column].tolist()
        for c in range(6):
            chance = 1.0
            for one in tree.decisions:
                if c in one.left + one.right:
                    own, other = (one.left, one.right) if c in one.left else (one.right, one.left)
                    a, b = (math.exp(sum(y[k] for k in g) / len(g)) for g in (own, other))
                    chance *= a / (a + b)
            assert float(found[n, c, row, column]) == pytest.approx(chance)


def test_two_classes_are_decided_as_the_network_does():
    logits = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    tree = Tree.of(torch.eye(2))
    torch.testing.assert_close(tree.logprob(logits), logits.log_softmax(1))


@pytest.mark.parametrize("against", [False, True])
@pytest.mark.parametrize("region", ["gt", "pred", "all_pred", "pixel:5:6"])
def test_maps_of_a_decision_equal_those_of_a_node_that_is_computed(region, against):
    """The node's logit pixel by pixel, in a graph of its own; for Grad-PAM at two stages."""
    net, x, truth = nets.plain(4), nets.images(2, 12), nets.labels(2, 12, 4)
    decision = Decision(1, (0, 2), (1, 3), 1.0)
    inner = targets.organ(1, region, truth)
    target = DecisionTarget(inner, decision, against)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, target, ["grad_pam", "seg_grad_cam"])
    for stage, path in (("enc1", 1), ("enc2", 3)):
        for n in range(2):
            a = net[: path + 1](x[n : n + 1]).detach().requires_grad_()
            y = net[path + 1 :](a)
            score = 0.0
            for row, column in torch.ones(12, 12).nonzero().tolist():
                own = y[0, :, row, column]
                best = int(own.argmax())
                c = best if region == "all_pred" else 1
                inside = {
                    "gt": int(truth[n, row, column]) == 1,
                    "pred": best == 1,
                    "all_pred": True,
                    "pixel:5:6": (row, column) == (5, 6),
                }
                if inside[region]:
                    left, right = (own[0] + own[2]) / 2, (own[1] + own[3]) / 2
                    chosen, other = (left, right) if c in (0, 2) else (right, left)
                    score = score + (chosen - other if against else chosen)
            if isinstance(score, float):
                continue
            (g,) = torch.autograd.grad(score, a)
            torch.testing.assert_close(flow.maps[stage][0, 0, n], (g * a)[0].sum(0).detach())
            averaged = (g.mean((2, 3), keepdim=True) * a)[0].sum(0).detach()
            torch.testing.assert_close(flow.maps[stage][1, 0, n], averaged)
            assert float(flow.scores[0, n]) == pytest.approx(score.item())


def test_a_class_that_is_not_below_a_node_has_no_say():
    target = DecisionTarget(targets.organ(0, "all"), FOUR.decisions[2])
    assert not target(LOGITS).any()
