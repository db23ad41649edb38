"""MiSuRe against a slow loop, on networks that need a known box, and by hand."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

import segtrace.explainers
from helpers import nets
from helpers.explaining import NET, TRUTH, X, clock, explained, network
from helpers.scripts import answer_of
from helpers.untouched import untouched
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.explainers.error_picture import share_cell
from segtrace.explainers.explainer import Budget
from segtrace.explainers.hasany2024.kept_maps import (
    KEPT,
    LATE,
    LOST,
    NOTHING,
    ONLY_WHOLE,
    UNPREDICTED,
)
from segtrace.explainers.hasany2024.misure import Misure
from segtrace.explainers.hasany2024.pairs import Pairs
from segtrace.explainers.scores import scoring
from segtrace.report.files import load_maps
from segtrace.report.pictures.strip import Cell
from segtrace.report.pictures.view import View
from segtrace.report.tables import read_table
from segtrace.tracking.explained import targets_of

SIDE = 24
ORGAN, BOX = (slice(4, 9), slice(3, 10)), (slice(3, 13), slice(2, 15))
ORGANS = {"a": 1}


def mask_of(part, side=SIDE):
    mask = torch.zeros(side, side, dtype=torch.float64)
    mask[part] = 1
    return mask


class Boxed(torch.nn.Module):
    """Predicts its organ, always in the same place, as far as the box is shown; one pixel a part.

    Every pixel of the box counts alike. The organ is there from ``needs`` of them on.
    """

    def __init__(self, needs=0.9, box=BOX):
        super().__init__()
        self.organ, self.box = mask_of(ORGAN), mask_of(box)
        self.needs = torch.nn.Parameter(torch.tensor(needs, dtype=torch.float64))

    def forward(self, x):
        seen = (x[:, 0] * self.box).sum((1, 2)) / self.box.sum()
        organ = 30 * (seen - self.needs)[:, None, None] * self.organ - 30 * (1 - self.organ)
        return torch.stack([torch.zeros_like(organ), organ], 1)


def boxed(net=None, **more):
    x = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    return network(net=net or Boxed(), x=x, truth=torch.ones(1, SIDE, SIDE), organs=ORGANS, **more)


def map_of(found, o=0, n=0):
    return found.explained.record.flow.maps["input"][0, o, n]


def test_a_network_that_needs_a_box_returns_that_box_and_its_numbers():
    found = explained(Misure(variation=0.0), boxed())  # which would round its corners
    (row,) = found.rows
    assert torch.equal((map_of(found) > 0.5).double(), mask_of(BOX))
    assert (map_of(found)[mask_of(BOX) > 0] > 0.98).all()
    assert map_of(found)[mask_of(BOX) == 0].max() < 0.02
    # Stage 1: rows 4-8 and columns 3-9 grow by 3 a step; after two the box is shown whole.
    grown = mask_of((slice(0, 15), slice(0, 16)))
    assert torch.equal(found.kept.spread(found.kept.first)[0, 0], grown)
    assert (row["predicted_px"], row["outcome"]) == (35, KEPT)
    assert row["stage_1_dice"] == row["stage_2_dice"] == 1
    assert row["stage_1_area"] == pytest.approx(15 * 16 / SIDE**2)
    assert row["stage_2_area"] == pytest.approx(10 * 13 / SIDE**2, rel=0.02)
    assert row["stage_2_over_organ"] == pytest.approx(130 / 35, rel=0.02)
    assert row["organ_alone_dice"] == row["elsewhere_dice"] == row["context_elsewhere_dice"] == 0
    assert found.drawn.passes == 3 + 100 + 2 + 16
    assert found.drawn.backward == 100


def test_what_lies_around_does_not_matter_where_the_organ_alone_is_needed():
    found = explained(Misure(steps=5), boxed(Boxed(box=ORGAN)))
    (row,) = found.rows
    assert row["stage_1_over_organ"] == 1
    assert row["organ_alone_dice"] == row["context_elsewhere_dice"] == 1
    assert row["elsewhere_dice"] == 0


class Forgetful(Boxed):
    """Predicts its organ the first time alone."""

    def forward(self, x):
        self.asked = getattr(self, "asked", 0) + 1
        return super().forward(x) - (self.asked > 1) * torch.tensor([0, 99.0]).view(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("net", "options", "outcome"),
    [
        (Boxed(0.999, (slice(0, SIDE), slice(0, SIDE))), {}, ONLY_WHOLE),
        (Forgetful(), {}, NOTHING),
        (Boxed(), {"sparsity": 1e6, "steps": 100}, LOST),
    ],
)
def test_what_becomes_of_a_mask_is_said(net, options, outcome):
    found = explained(Misure(**{"steps": 3, **options}), boxed(net))
    (row,) = found.rows
    assert row["outcome"] == outcome
    assert outcome in " ".join(found.section().sentences).lower()
    assert (row["stage_2_dice"] < 0.9) == (outcome != ONLY_WHOLE)
    found.picture("a")


def by_hand(x, channel, activation, baseline, options):
    """Both stages of one organ on one slice, one pass after the other, in numpy and by autograd."""

    def logits(m):
        return NET((x * m + baseline * (1 - m))[None])[0]

    def predicted(found):
        return found[channel] > 0 if activation == "sigmoid" else found.argmax(0) == channel

    def hard(found):
        here, own = predicted(found).numpy(), target.numpy() > 0
        return 2 * (here & own).sum() / (here.sum() + own.sum())

    with torch.no_grad():
        target = predicted(NET(x[None])[0]).double()
        if not target.any():
            return None
        m, tries = target.clone(), 1
        while hard(logits(m)) < options["keep"]:
            square = np.ones((options["window"],) * 2)
            m = torch.from_numpy(ndimage.binary_dilation(m.numpy(), square).astype(float))
            tries += 1
        first, before = m.clone(), hard(logits(m))
    weight = options["sparsity"] / float(target.sum())
    mean, square = torch.zeros_like(m), torch.zeros_like(m)
    for t in range(1, options["steps"] + 1):
        m = m.detach().requires_grad_()
        found = logits(m)
        p = (found.sigmoid() if activation == "sigmoid" else found.softmax(0))[channel]
        soft = 2 * (p * target).sum() / (p.sum() + target.sum())
        rough = sum(abs(m[i, j] - m[i + 1, j]) for i in range(15) for j in range(16)) + sum(
            abs(m[i, j] - m[i, j + 1]) for i in range(16) for j in range(15)
        )
        loss = 1 - soft + weight * m.sum() + options["variation"] * rough / 256
        (g,) = torch.autograd.grad(loss, m)
        with torch.no_grad():  # AdamW, with torch's decay of 0.01
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
            step = (mean / (1 - 0.9**t)) / ((square / (1 - 0.999**t)).sqrt() + 1e-8)
            m = (m * (1 - options["rate"] * 0.01) - options["rate"] * step).clamp(0, 1)
    with torch.no_grad():
        return first, before, m, hard(logits(m)), tries


@pytest.mark.parametrize(
    ("activation", "organs", "baseline", "variation"),
    [
        ("softmax", {"a": 1, "b": 2}, 0.0, 0.0),
        ("sigmoid", {"a": 1, "b": 2, "c": 3}, 0.25, 0.05),
    ],
)
def test_both_stages_equal_the_equations_pair_by_pair(activation, organs, baseline, variation):
    options = {"keep": 0.8, "window": 3, "steps": 4, "rate": 0.05, "sparsity": 0.3,
               "variation": variation}  # fmt: skip
    of = network(organs=organs, activation=activation)
    found = explained(Misure(baseline=baseline, **options), of)
    passes, seen = 0, 0
    for o, organ in enumerate(organs):
        channel = organs[organ] - (activation == "sigmoid")
        for n in range(3):
            row = found.rows[n * len(organs) + o]
            assert (row["slice"], row["organ"]) == (n, organ)
            expected = by_hand(X[n], channel, activation, baseline, options)
            if expected is None:
                assert found.explained.record.flow.status[0, 0, o, n] == Status.ABSENT
                assert row["outcome"] == UNPREDICTED
                continue
            first, before, last, after, tries = expected
            torch.testing.assert_close(found.kept.spread(found.kept.first)[o, n], first)
            torch.testing.assert_close(map_of(found, o, n), last, rtol=1e-9, atol=1e-9)
            assert row["stage_1_dice"] == pytest.approx(before)
            assert row["stage_2_dice"] == pytest.approx(after)
            passes, seen = passes + tries, seen + 1
    assert seen >= 3
    assert found.drawn.passes == passes + seen * (4 + 2 + 16)
    assert found.explained.record.region == "pred"


def test_the_dice_of_a_prediction_is_counted_by_hand():
    """Of four pixels two are found, and one beside them: 2 · 2 / (3 + 4)."""
    of = boxed()
    with scoring(of, targets_of(of.probes, of.channels, replace(of.settings, region="pred")),
                 Budget(None, lambda _words: nullcontext(None)), "MiSuRe") as scores:  # fmt: skip
        pairs = Pairs.of(scores, 0.0)
        own = torch.zeros(1, SIDE, SIDE).double()
        own[0, 0, :4] = 1
        found = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
        found[0, 0, 2:5] = 1
        pairs = replace(pairs, own=own)
        assert pairs.dice_of(found, torch.tensor([0])).item() == pytest.approx(4 / 7)
        logits = torch.zeros(1, 2, SIDE, SIDE).double()  # a half at every pixel
        soft = pairs.soft(logits, torch.tensor([0]))
        assert soft.item() == pytest.approx(2 * 0.5 * 4 / (0.5 * SIDE**2 + 4))


def test_a_batch_of_another_size_changes_nothing_and_a_seed_moves_the_controls_alone(monkeypatch):
    before = explained(Misure(steps=3, window=3))
    other = explained(Misure(steps=3, window=3, seed=1))
    assert torch.equal(map_of(before), map_of(other))
    assert [r["elsewhere_dice"] for r in before.rows] != [r["elsewhere_dice"] for r in other.rows]
    monkeypatch.setattr("segtrace.explainers.hasany2024.pairs.SLICES", 1)
    monkeypatch.setattr("segtrace.explainers.hasany2024.masks.SLICES_ON_CPU", 3)
    after = explained(Misure(steps=3, window=3))
    torch.testing.assert_close(map_of(after), map_of(before), rtol=1e-9, atol=1e-9)
    np.testing.assert_equal(after.rows, before.rows)


@pytest.mark.parametrize(("keep", "late"), [(0.9, True), (0.5, False)])
def test_time_that_runs_out_keeps_what_is_done_and_says_so(monkeypatch, tmp_path, keep, late):
    clock(monkeypatch)
    ran = []
    with NET.register_forward_pre_hook(lambda _net, given: ran.append(len(given[0]))):
        found = explained(Misure(keep=keep, window=3, steps=50), max_seconds=6)
    assert 0 < sum(ran) - found.kept.passes <= 3 + 4  # the slices as they are, and to time a pass
    assert found.drawn.done < 50
    assert (found.drawn.done == 0) == late
    said = f"partial: {found.drawn.done} of 50 steps of stage 2"
    assert said in found.caption("a")
    assert said in " ".join(found.section().sentences).lower()
    found.write(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["whole"], manifest["done"]) == (False, found.drawn.done)
    outcomes = {row["outcome"]: row for row in found.rows}
    assert (LATE in outcomes) == late
    assert not late or np.isnan(outcomes[LATE]["stage_1_dice"])
    reached = [row for row in found.rows if row["stage_1_dice"] == row["stage_1_dice"]]
    assert reached
    assert all(row["stage_2_dice"] == row["stage_2_dice"] for row in reached)
    assert all(np.isnan(row["elsewhere_dice"]) for row in reached)
    assert manifest["controls"] is False
    assert "before the masks were changed or put elsewhere" in " ".join(found.section().sentences)
    tried, left = found.kept.passes, len(reached) * (found.drawn.done + 1)  # the masks as they are
    assert left < tried <= left + 8 * 3  # and what stage 1 can have taken


def test_time_that_is_over_before_any_mask_is_one_line(monkeypatch):
    clock(monkeypatch)
    with pytest.raises(
        InputError, match=r"MiSuRe: the time is over before .* give more max_seconds"
    ):
        explained(Misure(), max_seconds=0.5)


def test_an_organ_that_is_nowhere_has_no_mask():
    found = explained(Misure(), boxed(Boxed(needs=2.0)))
    assert found.explained.record.flow.status[0, 0, 0, 0] == Status.ABSENT
    assert not map_of(found).any()
    found.picture("a")
    assert "No picture of a: no prediction on these slices." in found.section().sentences


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0.0}, "keep=0.0; give a Dice above 0"),
        ({"window": 4}, "window=4; give an odd number from 3"),
        ({"steps": 0}, "steps of Misure is 0"),
        ({"rate": 0.0}, "rate=0.0; give more than 0"),
        ({"rate": float("inf")}, "rate=inf; give more than 0"),
        ({"sparsity": float("inf")}, "sparsity=inf; give 0 or more"),
        ({"sparsity": -1.0}, "sparsity=-1.0; give 0 or more"),
        ({"baseline": "air"}, "no baseline 'air'"),
        ({"max_seconds": 0.0}, "max_seconds=0.0; give more than 0"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Misure(**options)


def test_volumes_and_logits_of_another_size_are_refused():
    x = torch.rand(1, 1, 8, 8, 8)
    with pytest.raises(InputError, match="MiSuRe explains slices"):
        segtrace.explainers.misure(torch.nn.Conv3d(1, 2, 1), x, {"a": 1})
    coarse = torch.nn.Conv2d(1, 2, 2, stride=2)
    with pytest.raises(InputError, match=r"logits are \(8, 8\) and the image is \(16, 16\)"):
        segtrace.explainers.misure(coarse, torch.rand(1, 1, 16, 16), {"a": 1})


def test_from_python_the_network_is_left_as_it_was():
    net = nets.plain().train()
    with untouched(net, X, TRUTH, {"a": 1, "b": 2}):
        found = segtrace.explainers.misure(net, X, {"a": 1, "b": 2}, TRUTH, steps=2)
    assert torch.equal(map_of(found), map_of(explained(Misure(steps=2))))
    assert found.explained.measures["gain"].sel(organ="a").notnull().any()


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[misure]",
        "explainers.misure.steps=2", "explainers.misure.moves=1", "organs=[liver]",
        "failures=false", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "MiSuRe: some 14 forward passes and 2 forward and back for each organ" in ran.out
    folder = tmp_path / "out" / "explainers" / "misure"
    flow = load_maps(folder / "maps.npz").flow
    with np.load(folder / "kept.npz") as held:
        assert held["stage_1"].shape == flow.maps["input"].shape[1:]
    rows = read_table(folder / "kept.csv")
    assert len(rows) == len(flow.prediction)
    assert {"stage_1_dice", "stage_1_area", "stage_2_dice", "outcome"} <= set(rows[0])
    assert (folder / "figures" / "misure" / "liver.png").is_file()
    assert "hasany2024" in (folder / "figures" / "misure" / "references.bib").read_text()
    assert "<h2>MiSuRe</h2>" in (tmp_path / "out" / "index.html").read_text()


def test_the_controls_show_the_masks_they_speak_of(monkeypatch):
    """Where it is moved to is read off the moved mask, pixel by pixel."""
    shown = []

    def kept(self, masks, which):
        shown.append(masks(which))
        return torch.ones(len(which)).double()

    monkeypatch.setattr(Pairs, "kept", kept)
    found = explained(Misure(steps=1, moves=2), boxed())
    mask, own = map_of(found), mask_of(ORGAN) > 0
    whole, alone, *moved = (one[0] for one in shown[-6:])
    assert torch.equal(whole, mask)
    assert torch.equal(alone, mask * own)
    rest = torch.where(own, 0, mask)
    for context, elsewhere in zip(moved[:2], moved[2:], strict=True):
        (move,) = [(i, j) for i in range(SIDE) for j in range(SIDE)
                   if torch.equal(mask.roll((i, j), (0, 1)), elsewhere)]  # fmt: skip
        assert all(SIDE // 4 <= step <= 3 * SIDE // 4 for step in move)
        assert torch.equal(context, torch.where(own, mask, rest.roll(move, (0, 1))))


def test_masks_are_drawn_from_0_to_1_whatever_their_largest_value_is(monkeypatch):
    drawn = []

    def seen(shares, *given):
        drawn.append(shares)
        return share_cell(shares, *given)

    found = explained(Misure(steps=5, variation=0.0), boxed())
    monkeypatch.setattr("segtrace.explainers.hasany2024.kept_maps.share_cell", seen)
    found.picture("a")
    assert [float(one.max()) for one in drawn] == [1.0, float(map_of(found).max())]
    image, half = torch.zeros(4, 4), np.full((4, 4), 0.5)
    dark, light = (share_cell(shares, image, View()) for shares in (half, 2 * half))
    assert not np.array_equal(dark, light)


def test_what_stage_2_lost_is_marked_below_its_mask_and_named_on_the_page(monkeypatch):
    words = []
    monkeypatch.setattr(
        "segtrace.explainers.hasany2024.kept_maps.Cell",
        lambda name, picture, below="", *more: words.append(below) or Cell(name, picture, below),
    )
    found = explained(Misure(sparsity=1e6, steps=30), boxed())
    assert found.rows[0]["outcome"] == LOST
    found.picture("a")
    assert [one.endswith(", lost") for one in words] == [False, True]
    assert f"{LOST[:1].upper()}{LOST[1:]}: a on c, slice 0." in found.section().sentences
