import math

import pytest

from segtrace.report.page.sentences import outlined


@pytest.mark.parametrize(
    ("dice", "words"),
    [
        (0.95, "found very well"), (0.9, "found very well"), (0.834, "found well"),
        (0.7, "found well"), (0.4, "found in part"), (0.05, "hardly found"),
        (0.049, "not found"), (0.0, "not found"),
    ],
)  # fmt: skip
def test_how_well_an_organ_is_found_is_said_with_its_dice(dice, words):
    assert outlined(dice, "whole cases") == f"{words} (Dice {dice:.2f}, whole cases). "


def test_without_a_truth_nothing_is_said():
    assert outlined(math.nan, "these slices") == ""
