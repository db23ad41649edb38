from dataclasses import replace

import numpy as np
import pytest

from segtrace.report.page.sentences import Finding

FOUND = Finding(
    organ="left_kidney",
    dice=0.834,
    extent="whole cases",
    slices=4,
    stages=("enc1", "dec1", "dec2", "head"),
    gain=np.array([0.01, 0.3, 0.62, 0.99]),
    usable=np.array([True, True, True, False]),
    untrained=np.array([0.0, np.nan, -0.001, 0.9]),
)


def test_a_sentence_names_the_best_stage_that_is_evidence_and_the_untrained_network():
    assert FOUND.sentence == (
        "Left kidney: found well (Dice 0.83, whole cases). "
        "Evidence on it, best at dec2 (focus 0.62, untrained 0.00)."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slices": 0}, "Left kidney: nothing to explain on these slices."),
        ({"dice": 0.0}, "Left kidney: not found (Dice 0.00, whole cases). Evidence on it"),
        (
            {"dice": 0.0, "missed": True},
            "Left kidney: not found (Dice 0.00, whole cases). Its maps explain a decision that the "
            "network makes on none of these slices.",
        ),
        ({"dice": 0.95}, "found very well (Dice 0.95, whole cases)"),
        ({"dice": np.nan}, "Left kidney: Evidence on it"),
        ({"usable": np.zeros(4, bool)}, "No stage gives evidence that may be read."),
        ({"gain": FOUND.gain / 2}, "Evidence partly on it, best at dec2 (focus 0.31"),
        ({"gain": FOUND.gain / 9}, "Evidence on it at no stage, best at dec2 (focus 0.07"),
        ({"gain": np.array([0, 0.5, 0, 1])}, "Evidence on it, best at dec1 (focus 0.50"),
        ({"gain": np.array([0, 0.49, 0, 1])}, "Evidence partly on it, best at dec1 (focus 0.49"),
        ({"gain": np.array([0, 0.2, 0, 1])}, "Evidence partly on it, best at dec1 (focus 0.20"),
        ({"gain": np.array([0, 0.19, 0, 1])}, "Evidence on it at no stage, best at dec1"),
        ({"dice": 0.9}, "found very well"),
        ({"dice": 0.7}, "found well"),
        ({"dice": 0.4}, "found in part"),
        ({"dice": 0.05}, "hardly found"),
        ({"dice": 0.049}, "not found"),
        ({"gain": np.array([0, 0.6, np.nan, 1])}, "at dec1 (focus 0.60, untrained no map)"),
        ({"untrained": None}, "(focus 0.62, untrained not known)"),
        ({"gain": np.full(4, -0.001)}, "focus 0.00"),
    ],
)
def test_a_sentence_says_what_holds(changes, words):
    assert words in replace(FOUND, **changes).sentence
