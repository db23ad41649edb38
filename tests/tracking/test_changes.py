"""How maps change along depth and epochs, in the table that ``measures="all"`` adds."""

import math

import pytest

from helpers.invented import explained
from segtrace.measures.change import jsd
from segtrace.tracking.changes import change_rows


def test_change_is_held_against_the_next_stage_and_the_epoch_before():
    before, now = explained(1, 0.2), explained(3, 0.6)
    rows = {(row["organ"], row["stage"]): row for row in change_rows(before.record, now.record)}
    assert len(rows) == 4
    row, head = rows["left", "dec1"], rows["left", "head"]
    assert (row["epoch"], row["since"]) == (3, 1)
    flat = [record.record.flow.maps["dec1"][0, 0, 0].flatten().numpy() for record in (before, now)]
    assert row["jensen_shannon_divergence_since_epoch"] == pytest.approx(jsd(*flat), abs=1e-5)
    assert row["jensen_shannon_divergence_to_next_stage"] > 0.1
    assert math.isnan(head["jensen_shannon_divergence_to_next_stage"])  # nothing comes after it
    assert head["jensen_shannon_divergence_since_epoch"] == pytest.approx(0, abs=1e-6)


def test_the_first_epoch_has_none_before_it():
    row = change_rows(None, explained(0, 0.2).record)[0]
    assert row["since"] is None
    assert math.isnan(row["jensen_shannon_divergence_since_epoch"])
