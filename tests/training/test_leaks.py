"""Events in words, and the table of what they were held against."""

from dataclasses import replace

import pytest
import torch

from invented import explained, labels
from segtrace.measures.over_cases import COVERAGE
from segtrace.training.leaks import LeakMeter, Leaks


def leak_of(record):
    return LeakMeter().of(record)


def leaks(leak=0.6, epoch=3, **given):
    now, then = explained(epoch, 0.5, leak).record, explained(0, 0.0).record
    known = {"centred": leak_of(now), "untrained": leak_of(then)} | given
    return Leaks(now, leak_of(now), **known)


def test_a_planted_leak_is_told_in_words_and_an_absent_one_is_not_found():
    found = leaks().text("grad_pam")
    assert "left leaks onto right at dec1, gone at head" in found
    assert "epoch 3 (one run)" in found
    assert "none found" not in found
    assert f"\n{COVERAGE}\n" in found
    nothing = leaks(leak=0.0).text("grad_pam")
    assert "none found" in nothing
    assert COVERAGE not in nothing


def test_a_leak_that_all_logits_share_is_no_event():
    shared = leak_of(explained(3, 0.5, 0.0).record)
    assert leaks(centred=shared).events("grad_pam") == []


def test_a_leak_that_the_untrained_network_has_too_is_no_event():
    assert leaks(untrained=leak_of(explained(0, 0.5, 0.7).record)).events("grad_pam") == []


def test_what_it_was_not_held_against_is_said():
    text = leaks(centred=None, untrained=None).text("grad_pam")
    assert "not held against centred logits" in text
    assert "not held against the untrained network" in text


def test_the_table_holds_every_pair_beside_its_controls():
    rows = leaks().rows()
    assert len(rows) == 2 * 2 * 2  # stages, organs, organs
    row = next(r for r in rows if (r["stage"], r["organ"], r["onto"]) == ("dec1", "left", "right"))
    # 0.6 of the map, and of the rest what is spread evenly: 0.4 · 0.5 · 16/256.
    assert row["share"] == pytest.approx(0.6 + 0.4 * 0.5 / 16, abs=1e-6)
    assert row["density"] == pytest.approx(16 * row["share"], abs=1e-4)
    assert row["density_untrained"] == pytest.approx(1, abs=1e-4)
    assert row["density_centred"] == row["density"]
    assert row["slices"] == 4


def test_the_matrix_is_drawn_for_every_stage():
    picture = leaks().picture("grad_pam", "dec1")
    assert picture.ndim == 3
    assert picture.std() > 10


def test_a_meter_that_has_seen_other_epochs_measures_the_same():
    meter = LeakMeter()
    meter.of(explained(0, 0.0).record)
    record = explained(3, 0.5, 0.6).record
    assert torch.equal(meter.of(record).share, leak_of(record).share)


def test_a_meter_notices_that_the_organs_lie_elsewhere():
    meter = LeakMeter()
    meter.of(explained(0, 0.0).record)
    record = explained(3, 0.5, 0.6).record
    moved = replace(record, scene=replace(record.scene, truth=labels().roll(3, 1)))
    assert torch.equal(meter.of(moved).share, leak_of(moved).share)
