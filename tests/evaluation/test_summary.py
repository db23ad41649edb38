"""Means, sds and counts over cases are those of the protocol's own formulas."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from helpers import slow_scores
from segtrace.evaluation.protocols import STRICT, TRANSUNET
from segtrace.evaluation.published import Taught, published, why_not_comparable
from segtrace.evaluation.scores import score
from segtrace.evaluation.summary import Evaluated, rows

ORGANS = ("a", "b", "c")


def cases(seed=0):
    """Four label maps and truths: ``b`` is missed once, ``c`` made up once and absent once."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(4):
        true = random.integers(0, 4, (5, 12, 14)) * (random.random((5, 12, 14)) < 0.6)
        predicted = np.where(random.random(true.shape) < 0.7, true, 0)
        if number == 0:
            predicted[predicted == 2] = 0
        if number > 1:
            true[true == 3] = 0
        if number == 3:
            predicted[predicted == 3] = 0
        found.append((predicted, true))
    return found


def evaluated(protocol, spacing=(1.0, 1.0, 1.0)):
    steps = np.diag(spacing)
    return Evaluated({
        f"case{number}": {
            organ: score(predicted == c, true == c, steps, protocol)
            for c, organ in enumerate(ORGANS, 1)
        }
        for number, (predicted, true) in enumerate(cases())
    })  # fmt: skip


def test_transunets_table_is_that_of_its_formulas():
    of_classes, mean = slow_scores.transunet_table(cases(), len(ORGANS))
    *organs, last = evaluated(TRANSUNET).summary()
    found = [(row["dice_mean"], row["hd95_voxels_mean"]) for row in organs]
    np.testing.assert_allclose(found, of_classes, atol=1e-6)
    assert last["organ"] == "mean"
    np.testing.assert_allclose((last["dice_mean"], last["hd95_voxels_mean"]), mean, atol=1e-6)
    assert all(row["dice_cases"] == 4 for row in organs)


def test_strict_counts_what_was_missed_and_what_was_made_up():
    known = evaluated(STRICT)
    a, b, c, last = known.summary()
    assert (b["missing"], c["false"], c["absent"], last["missing"]) == (1, 1, 1, 1)
    dice = known.values("dice")
    assert dice[0, 1] == 0
    assert dice[2, 2] == 0
    assert np.isnan(dice[3, 2])
    assert b["dice_mean"] == pytest.approx(dice[:, 1].mean())
    assert b["dice_sd"] == pytest.approx(np.std(dice[:, 1], ddof=1))
    assert (a["hd95_mm_cases"], b["hd95_mm_cases"], c["hd95_mm_cases"]) == (4, 3, 2)
    assert b["hd95_mm_mean"] == pytest.approx(known.values("hd95_mm")[1:, 1].mean())
    assert c["hd95_mm_median"] == np.median([*known.values("hd95_mm")[:2, 2], inf])
    assert last["dice_mean"] == pytest.approx(np.mean([r["dice_mean"] for r in (a, b, c)]))
    assert last["dice_sd"] == pytest.approx(np.nanmean(dice, 1).std(ddof=1))


def test_a_single_case_has_no_sd_and_nothing_no_mean():
    one = {"x": score(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool), np.eye(3), STRICT)}
    row, last = Evaluated({"case": one}).summary()
    np.testing.assert_equal([row["dice_mean"], row["dice_sd"], row["hd95_mm_median"]], [nan] * 3)
    np.testing.assert_equal([last["dice_mean"], last["hd95_mm_median"]], [nan, nan])


def test_a_row_names_case_and_tolerance():
    one = evaluated(STRICT, (3.0, 1.0, 1.0)).scores["case1"]
    first = rows("case1", one, 2.0)[0]
    assert (first["case"], first["organ"], first["tolerance_mm"]) == ("case1", "a", 2.0)
    assert first["dice"] == one["a"].dice


def test_published_rows_average_to_what_they_say_or_tell_why_not():
    table = published()
    assert [row.dice for row in table] == sorted(row.dice for row in table)
    unet = next(row for row in table if row.method == "U-Net")
    assert (unet.dice, unet.hd95, unet.organs["gallbladder"]) == (76.85, 39.70, 69.72)
    for row in table:
        off = abs(np.mean(list(row.organs.values())) - row.dice) > 0.02
        assert not off or row.note, row.method
        assert row.source
        assert 2015 <= row.year <= 2024


def test_what_sets_a_table_apart_is_said():
    eight = list(published()[0].organs)
    twelve = ["0001", "0002"]
    as_theirs = Taught(False, 224, [str(case) for case in range(18)])
    assert why_not_comparable("transunet", eight, False, twelve, twelve, as_theirs) == []
    told = why_not_comparable("strict", eight[:2], True, ["0003"], twelve, as_theirs)
    assert [sentence.split()[0] for sentence in told] == ["These", "These", "The"]
    assert "phantom" in told[0]
    told = why_not_comparable("transunet", eight, False, ["0003"], twelve, as_theirs)
    assert "twelve" in told[0]
    for taught, words in [
        (replace(as_theirs, phantom=True), "trained on a generated phantom."),
        (replace(as_theirs, cases=["0001"]), "trained on 1 case, the published ones on 18."),
        (replace(as_theirs, cases=None), "It is not known which cases"),
        (replace(as_theirs, size=96), "slices have 96 rows, TransUNet's 224."),
    ]:
        (sentence,) = why_not_comparable("transunet", eight, False, twelve, twelve, taught)
        assert words in sentence
