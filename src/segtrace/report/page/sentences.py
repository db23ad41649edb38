"""What the page says in plain words: how well organs are found, cautions, names, what made it."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np

from segtrace.measures.measure import table
from segtrace.report.record import Record

VERDICTS = (
    (0.9, "found very well"),
    (0.7, "found well"),
    (0.4, "found in part"),
    (0.05, "hardly found"),
    (-1.0, "not found"),
)
"""From which Dice on, and what it is called."""
AIRY = 0.3
"""From which part off the body on a map carries a caution."""
LOW_COHERENCE = table()["kappa"].caution

CAUTIONS = {
    "final": "Final stage: this map redraws the prediction; it is no evidence of its own.",
    "echo": "Echo: the untrained network's map lies on the organ here already, because the region "
    "that is explained says where it is. Its place is no evidence at this stage.",
    "incoherent": "The gradient nearly cancels when it is averaged "
    f"(coherence below {LOW_COHERENCE}): do not lean on this map.",
    "air": f"More than {AIRY * 100:.0f} % of this map's evidence lies off the patient's body, in "
    "the air: do not read its place.",
    "averaged": "This rule averages the gradient and forgets where the region was. Choose a rule "
    "that keeps the place.",
    "nowhere": "The network finds this organ on none of these slices: the map explains a decision "
    "that it does not make.",
    "missed": "The network hardly marks this organ here (Dice below 0.1): the map explains a "
    "decision that it does not make.",
    "parts": "The explained region has several separate parts; one map stands for all of them.",
    "untrained": "Untrained network: what shows here does not come from learning.",
    "no_untrained": "No untrained network (epoch 0) with the same regions stands beside: "
    "nothing says how much of this was there before training.",
    "unlabelled": "No ground truth: nothing says whether the prediction is right.",
    "training": "These slices belong to the training split: the network has seen them.",
    "phantom": "Phantom: the images were generated; they are not a patient's.",
    "by_file": "Each file is counted as a case: where several are one patient's, intervals over "
    "cases are too narrow, and claims too many.",
    "one_run": "One run: another seed may give other maps.",
}
"""The cautions by name; the reasons why a map is not shown are REASONS of the scene."""


def outlined(dice: float, extent: str) -> str:
    """How well an organ is found; empty without a truth.

    >>> outlined(0.834, "whole cases")
    'found well (Dice 0.83, whole cases). '
    """
    if np.isnan(dice):
        return ""
    verdict = next(words for least, words in VERDICTS if dice >= least)
    return f"{verdict} (Dice {dice:.2f}, {extent}). "


def case_names(record: Record) -> list[str]:
    """Names of the slices' cases; numbers where the name is a file's, which may be a person's."""
    cases = record.scene.cases
    if record.scene.truth is not None:
        names = [base_name(case) for case in cases]
    else:
        numbered = {case: f"image {i + 1}" for i, case in enumerate(dict.fromkeys(cases))}
        names = [numbered[case] for case in cases]
    if not record.scene.planes:
        return names
    return [f"{name}, volume {n}" for name, n in zip(names, record.scene.slices, strict=True)]


def base_name(value: str) -> str:
    """The last part of what may be a path."""
    return PurePosixPath(PureWindowsPath(value).as_posix()).name or value


def fact_rows(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Facts as (name, words) lines, without folders and without what is empty."""
    said = {name.replace("_", " "): _words(value) for name, value in facts.items()}
    return [(name, words) for name, words in said.items() if words]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(below)}" for key, below in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return " ".join(map(base_name, str(value).split(" ")))
