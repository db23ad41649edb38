"""Erasing organs against a loop over organs, slices and pixels, and the claims made of it."""

import pytest
import torch

from helpers.explaining import NET, ORGANS, TRUTH, X
from segtrace.explainers.wan2020.claims import claims, lost_by_case, nothing_found
from segtrace.explainers.wan2020.hierarchy import Decision, Tree
from segtrace.explainers.wan2020.removal import WAYS, Judged, Removed, erasures, removed, rows_of

TREE = Tree((Decision(1, (0, 2), (1,), 2.0), Decision(2, (0,), (2,), 1.0)))
MASKS = torch.stack([channel == TRUTH for channel in ORGANS.values()])
FREE = ~MASKS.any(0)
NOTHING = torch.zeros(16, 16)
JUDGED = Judged(TREE, [*ORGANS.values()], MASKS)


def shown(part):
    x = torch.stack([torch.where(one.where[None], 0.25, X[one.n]) for one in part])
    return NET(x)


def all_removed(todo, is_over=lambda: False):
    return removed(JUDGED, [*ORGANS], NET(X), todo, shown, at_once=4, is_over=is_over)


def slow_dice(logits, channel, n):
    both = found = there = 0
    for row, column in torch.ones(16, 16).nonzero().tolist():
        is_found = int(logits[:, row, column].argmax()) == channel
        is_there = int(TRUTH[n, row, column]) == channel
        both, found, there = both + (is_found and is_there), found + is_found, there + is_there
    return 2 * both / (found + there) if there else float("nan")


def slow_accuracy(logits, channel, decision, n, erased):
    right = count = 0
    for row, column in (TRUTH[n] == channel).nonzero().tolist():
        if erased[row, column]:
            continue
        y = logits[:, row, column].tolist()
        left, other = (sum(y[c] for c in g) / len(g) for g in (decision.left, decision.right))
        right += left > other if channel in decision.left else other > left
        count += 1
    return right / count if count else float("nan")


@torch.no_grad()
def test_what_is_left_equals_a_loop():
    todo = erasures(MASKS, FREE, 1, seed=3)
    found = all_removed(todo)
    names = [(organ, number) for organ in ORGANS for number in (0,)]
    names += [(o, d.number) for o, c in ORGANS.items() for d in TREE.path(c)]
    assert list(found.measured) == names
    assert (found.passes, found.asked) == (len(todo), len(todo))
    numbers = {decision.number: decision for decision in TREE.decisions}
    for one in todo:
        x = X[one.n].clone()
        x[:, one.where] = 0.25
        logits = NET(x[None])[0]
        for m, (organ, number) in enumerate(found.measured):
            channel = ORGANS[organ]
            expected = (slow_accuracy(logits, channel, numbers[number], one.n, one.where)
                        if number else slow_dice(logits, channel, one.n))  # fmt: skip
            value = float(found.left[one.organ, one.way, m, one.n])
            assert value == pytest.approx(expected, nan_ok=True)
    whole = NET(X)
    for m, (organ, number) in enumerate(found.measured):
        for n in range(3):
            expected = (slow_accuracy(whole[n], ORGANS[organ], numbers[number], n, NOTHING)
                        if number else slow_dice(whole[n], ORGANS[organ], n))  # fmt: skip
            assert float(found.whole[m, n]) == pytest.approx(expected, nan_ok=True)


def test_controls_take_as_many_pixels_where_no_organ_is():
    todo = erasures(MASKS, FREE, 2, seed=0)
    sizes, room = MASKS.flatten(2).sum(2), FREE.flatten(1).sum(1)
    there, fitting = int((sizes > 0).sum()), int(((sizes > 0) & (sizes <= room)).sum())
    counts = [sum(one.way == way for one in todo) for way in range(3)]
    assert counts == [there, 2 * fitting, 2 * fitting]
    assert fitting > 2
    for one in todo:
        own = MASKS[one.organ, one.n]
        assert int(one.where.sum()) == int(own.sum())
        if one.way:
            assert not (one.where & ~FREE[one.n]).any()
    scattered = [one.where for one in todo if one.way == 2]
    assert not torch.equal(scattered[0], scattered[1])


def test_an_organ_that_is_larger_than_the_rest_of_the_body_has_no_control():
    small = FREE & (torch.arange(16) < 1)
    todo = erasures(MASKS, small, 1, seed=0)
    assert {one.way for one in todo} == {0}
    found = all_removed(todo)
    assert lost_by_case(found, [*"abc"]).isnan().all()  # and is in no mean


@torch.no_grad()
def test_a_slice_that_is_not_done_counts_as_not_done():
    todo = erasures(MASKS, FREE, 1, seed=0)
    left = iter([False, False, True])
    found = all_removed(todo, lambda: next(left))
    assert (found.passes, found.asked) == (8, len(todo))
    cut = todo[8].n
    assert found.left[..., cut:].isnan().all()
    assert found.left[..., :cut].isfinite().any()
    rows = rows_of(found, ["c"] * 3, [4, 5, 6])
    assert {row["slice"] for row in rows} == {4 + n for n in range(cut)}


def held(lost, dice=0.9, beside=()):
    """A result in which every case is a slice: lost (O erased, W, O measured, C)."""
    organs = ("liver", "spleen", "aorta")[: len(lost)]
    whole = torch.full((len(organs), lost.shape[-1]), dice, dtype=torch.float64)
    measured = tuple((organ, 0) for organ in organs)
    near = torch.zeros(len(organs), len(organs), lost.shape[-1], dtype=torch.bool)
    near[..., list(beside)] = True
    return Removed(organs, measured, whole, whole - lost, near, 1, 1)


def test_a_loss_beyond_both_controls_is_told_and_its_own_is_not():
    lost = torch.full((2, 3, 2, 8), 0.01, dtype=torch.float64)
    lost += 0.001 * torch.rand(lost.shape, generator=torch.Generator().manual_seed(0))
    lost[0, 0, 1] += 0.3  # liver erased, spleen measured
    lost[:, 0].diagonal(dim1=0, dim2=1).fill_(0.9)
    (claim,) = claims(held(lost), list("abcdefgh"))
    assert claim.words.startswith("Erasing the liver costs the spleen 0.31 Dice (")
    assert claim.holds
    assert claim.numbers["p"] <= 0.05
    assert "; 8 cases apart from it)" in claim.words
    (claim,) = claims(held(lost, beside=[0, 1]), list("abcdefgh"))
    assert "; 6 cases apart from it)" in claim.words
    touching = held(lost, beside=range(4))
    assert not claims(touching, list("abcdefgh"))
    assert "Not asked of 2 pairs of organs that touch" in nothing_found(touching, list("abcdefgh"))
    lost[0, 2, 1] += 0.3  # scattered pixels cost as much
    assert not claims(held(lost), list("abcdefgh"))


@pytest.mark.parametrize(
    ("dice", "cases", "without", "words"),
    [
        (0.4, 8, (), "Not asked of liver and spleen, whose Dice is below 0.5"),
        (0.9, 4, (), "4 cases, and 5 are needed"),
        (0.9, 8, ("spleen",), "No organ is found to cost"),
    ],
)
def test_what_may_not_be_claimed_is_not(dice, cases, without, words):
    lost = torch.zeros(2, 3, 2, cases, dtype=torch.float64)
    lost[0, 0, 1] = 0.3 + 0.01 * torch.arange(cases)
    found, names = held(lost, dice), [str(c) for c in range(cases)]
    assert not claims(found, names, without)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(nothing_found(found, names))


@pytest.mark.parametrize("cases", [5, 8, 12])
def test_of_erasures_that_cost_what_controls_do_there_is_rarely_a_claim(cases):
    """Skewed losses of 3 x 3 organs, larger in some cases, the same for all three ways."""
    chance, told, runs = torch.Generator().manual_seed(cases), 0, 200
    for _ in range(runs):
        scale = torch.empty(3, 1, 3, cases).exponential_(5, generator=chance)
        lost = scale * torch.empty(3, len(WAYS), 3, cases).exponential_(1, generator=chance)
        told += bool(claims(held(lost.double()), [str(c) for c in range(cases)]))
    assert told <= 0.05 * runs


class Smoothed(torch.nn.Module):
    """A 9 x 9 mean, then a class a band of brightness: it looks for no organ beside another."""

    def __init__(self):
        super().__init__()
        self.smooth = torch.nn.AvgPool2d(9, 1, 4, count_include_pad=False)
        self.bands = torch.tensor([0.1, 0.55, 0.95]).view(1, 3, 1, 1)

    def forward(self, x):
        return -(self.smooth(x) - self.bands).abs()


@pytest.mark.parametrize("gap", [0, 2, 4, 10])
def test_of_an_edge_there_is_no_claim(gap):
    masks = torch.zeros(2, 8, 64, 64, dtype=torch.bool)
    for n in range(8):
        masks[0, n, 20 + n % 6 :, 10:26] = masks[1, n, 20 + n % 6 :, 26 + gap : 42 + gap] = True
    masks[:, :, 40:] = False
    x = 0.1 + 0.45 * masks[0].float() + 0.85 * masks[1].float()
    x += 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    net, todo = Smoothed(), erasures(masks, ~masks.any(0), 2, seed=0)

    def run(part):
        return net(torch.stack([x[one.n].masked_fill(one.where, 0) for one in part])[:, None])

    judged, whole = Judged(TREE, [1, 2], masks), net(x[:, None])
    found = removed(judged, ["a", "b"], whole, todo, run, at_once=8, is_over=lambda: False)
    assert found.near[0, 1].all() == (gap < 4)
    assert not claims(found, list("abcdefgh"))
    touching = held(found.lost[:, :, :2]) if gap == 0 else None
    assert touching is None or claims(touching, list("abcdefgh"))  # else it would be told
