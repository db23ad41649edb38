"""What is kept over epochs: what is due when, made up at the end, gone on with after a stop."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import xarray as xr
from torch import nn

from helpers.invented import explained
from helpers.lines import said
from segtrace import InputError
from segtrace.tracking.explained import Network, Settings
from segtrace.tracking.tracker import Epoch, Tracker
from segtrace.tracking.writer import CHARTS, CUTS, OVERVIEW

# With another score than plain logits nothing more is traced for the charts.
NETWORK = Network(nn.Identity(), {}, None, {}, Settings(rules=["grad_pam"], score="centered"))


class Recorder:
    """A writer that only remembers what it is asked to write."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *given, **_: self.calls.append((name, given))

    def of(self, name):
        return [given for called, given in self.calls if called == name]

    @property
    def drawn(self):
        return [shown.record.epoch for shown, rules in self.of("pictures") if rules]


def epoch(number, final=False, **options):
    return Epoch(number, final, NETWORK, lambda: explained(number, 0.5), **options)


def tracked(tracker, numbers, last):
    writer = Recorder()
    for number in numbers:
        tracker.update(writer, epoch(number, number == last))
    return writer


def cut(number):
    """What cutting finds, as far as a tracker looks at it."""
    lost = SimpleNamespace(
        lost=xr.Dataset({"mean": (("site", "organ"), [[float(number)] * 2] * 2)})
    )
    return SimpleNamespace(epoch=number, necessity=lost, left_out=("ghost",))


def test_the_first_epoch_every_fifth_and_the_last_are_drawn():
    assert tracked(Tracker(), range(13), 12).drawn == [0, 5, 10, 12]
    assert tracked(Tracker({"grad_pam": 1}), range(4), 9).drawn == [0, 1, 2, 3]


def test_with_epochs_left_out_charts_wait_at_least_as_long():
    charts = tracked(Tracker(), range(0, 40, 4), 100).of("leaks")
    assert [leaks.record.epoch for (leaks,) in charts] == [0, 12, 24, 36]


def test_asking_what_is_due_changes_nothing():
    tracker = Tracker(cut_every=2)
    assert [tracker.due(name, 0, False) for name in ("grad_pam", CHARTS, CUTS) * 2] == [True] * 6
    tracked(tracker, range(3), 9)
    before = tracker.state_dict()["drawn"]
    assert [tracker.due("grad_pam", 5, False), tracker.due("grad_pam", 4, True)] * 2 == [True] * 4
    assert not tracker.due("grad_pam", 4, False)
    assert tracker.state_dict()["drawn"] == before == {"grad_pam": 0, CHARTS: 0, OVERVIEW: 2}


def test_it_goes_on_from_the_state_of_another():
    whole, first, second = Tracker(), Tracker(), Tracker()
    expected = tracked(whole, range(20), 19).drawn
    found = tracked(first, range(8), 19).drawn
    second.load_state_dict(first.state_dict())
    assert second.reached == first.reached == {"grad_pam": 5, CHARTS: 0, OVERVIEW: 7, "numbers": 7}
    rest = tracked(second, range(8, 20), 19)
    assert found + rest.drawn == expected
    assert str(second.history.rows()) == str(whole.history.rows())  # NaN is no NaN
    assert not rest.of("layout")  # it was laid out before


def test_the_state_has_the_keys_that_older_checkpoints_have():
    state = Tracker().state_dict()
    assert set(state) == {"history", "drawn", "cuts", "losses", "course"}
    assert set(state["cuts"]) == {"untrained", "epochs", "lost", "done"}


def test_a_state_of_the_days_before_cuts_is_taken_up():
    first, second = Tracker(cut_every=2), Tracker(cut_every=2)
    tracked(first, range(2), 9)
    second.load_state_dict({k: v for k, v in first.state_dict().items() if k != "cuts"})
    assert second.epoch == 1
    assert second.due(CUTS, 2, False)


def test_cuts_go_on_from_the_state_of_another():
    first, second, never = Tracker(cut_every=3), Tracker(cut_every=3), Tracker()
    first.update(Recorder(), epoch(1, cut=lambda: cut(1)))
    for tracker in (second, never):
        tracker.load_state_dict(first.state_dict())
        assert tracker.reached[CUTS] == 1
    assert [second.due(CUTS, number, False) for number in (3, 4)] == [False, True]
    assert not never.due(CUTS, 4, True)
    assert never.state_dict()["cuts"]["done"] == {}


def test_the_newest_epoch_as_the_final_one_is_made_up_and_nothing_is_done_twice():
    tracker = Tracker()
    writer = tracked(tracker, range(3), 9)
    assert (writer.drawn, len(writer.of("numbers")), len(writer.of("leaks"))) == ([0], 3, 1)
    again = replace(epoch(2, final=True), explain=pytest.fail)
    for _ in range(2):
        tracker.update(writer, again)
    assert (writer.drawn, len(writer.of("numbers")), len(writer.of("leaks"))) == ([0, 2], 3, 2)
    assert tracker.history.epochs == [0, 1, 2]
    assert len(writer.of("end")) == 2


def test_an_epoch_is_cut_where_that_is_due_and_possible_explained_or_not(capsys):
    tracker, writer = Tracker(cut_every=2), Recorder()
    for number in range(6):
        cuts = None if number == 2 else lambda number=number: cut(number)
        one = epoch(number, number == 5, cut=cuts)
        tracker.update(writer, one if number % 3 else replace(one, explain=None))
    found = [(cuts.epoch, before and before.epoch) for cuts, before in writer.of("cuts")]
    assert found == [(0, None), (3, 0), (5, 0)]
    assert [list(epochs) for _, epochs, _ in writer.of("cut_timelines")][-1] == [0, 3, 5]
    assert tracker.history.epochs == [1, 2, 4, 5]
    assert tracker.reached[CUTS] == 5
    words = "On none of the probes, so not cut: ghost."
    assert said(capsys.readouterr().out) == [(words, None)]


def test_without_an_interval_or_without_an_organ_on_the_slices_nothing_is_told_of_cuts():
    never, empty, writer = Tracker(), Tracker(cut_every=1), Recorder()
    never.update(writer, replace(epoch(0), cut=pytest.fail))
    empty.update(writer, replace(epoch(0), cut=lambda: None))
    assert not writer.of("cuts")
    assert CUTS not in empty.reached
    assert not empty.due(CUTS, 0, True)  # it was tried


def test_an_epoch_that_does_not_fit_those_before_it_is_refused():
    tracker = Tracker()
    tracked(tracker, [0], 9)
    other = explained(1, 0.5)
    other = replace(other, measures=other.measures.assign_coords(organ=["left", "other"]))
    with pytest.raises(InputError, match="one timeline needs the same organs"):
        tracker.update(Recorder(), replace(epoch(1), explain=lambda: other))
    assert tracker.epoch == 0
