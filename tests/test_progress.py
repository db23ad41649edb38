"""What is said meanwhile: a line a step, in a file and in a terminal."""

import re
import sys

import pytest
from pytorch_lightning.utilities import rank_zero_only

from helpers.lines import said
from segtrace import progress
from segtrace.progress import Progress, Steps, over, say, say_once, step


class Terminal:
    """A screen that remembers, and what it shows in the end."""

    def __init__(self):
        self.shown, self.row = "", ""

    def write(self, words):
        self.shown += words
        for part in re.findall(r"\r|\n|[^\r\n]+", words):
            self.row = "" if part in "\r\n" else part.strip() and self.row + part

    def flush(self):
        pass

    def isatty(self):
        return True


def two_parts(shown=True):
    with step("Cutting", "Integrating", shown=shown) as tell:
        tell(Progress(0, 4, 0.0, 12.0))
        tell(Progress(2, 4, 6.0, 6.0))
        tell(Progress(0, 2, 0.0, 67.0))
        tell(Progress(2, 2, 67.0, 0.0))


def test_a_file_gets_a_line_for_each_part_and_no_bar(capsys):
    two_parts()
    out, err = capsys.readouterr()
    assert said(out) == [("Cutting", "0:12"), ("Integrating", "1:07")]
    assert err == ""
    two_parts(shown=False)
    assert capsys.readouterr() == ("", "")


def test_what_is_said_once_is_not_said_again(capsys):
    for words in ("a", "b", "a"):
        say_once(words)
    assert [words for words, _ in said(capsys.readouterr().out)] == ["a", "b"]


def test_a_terminal_counts_along_and_is_clean_afterwards(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    two_parts()
    assert "Cutting: 2 of 4, about 0:06 left" in screen.shown
    assert screen.row == ""
    assert len(said(capsys.readouterr().out)) == 2


def test_a_line_takes_the_place_of_the_one_that_counts_along(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    progress.count("Reading", Progress(1, 2, 1.0, 1.0))
    assert "Reading: 1 of 2" in screen.row
    say("done")
    assert screen.row == ""


@pytest.fixture
def hours(monkeypatch):
    """A clock that is moved by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "BEGAN", 40.0)
    return now


def test_what_takes_long_is_told_once_the_pace_is_known(hours, capsys):
    for item in over("abc", "Preparing 3 cases"):
        hours[0] += 30.0 if item == "a" else 1.0
    assert capsys.readouterr().out.splitlines() == [
        "[1:00] Preparing 3 cases",
        "[1:30] Preparing 3 cases: 1 of 3, about 1:00 left",
    ]
    for _ in over(iter("abc"), "Generating", 3):
        hours[0] += 1.0
    assert said(capsys.readouterr().out) == [("Generating", None)]
    assert list(over([], "Preparing 0 cases")) == []
    assert capsys.readouterr().out == ""


def test_steps_read_what_is_left_off_the_pace_of_those_before(hours, capsys):
    steps = Steps(4)
    for name in "abcd":
        steps.next(name)
        hours[0] += 50.0 if name == "a" else 10.0
    steps.next("one more than was thought")
    found = said(capsys.readouterr().out)
    assert [left for _, left in found] == [None, "2:30", "0:20", "0:10", None]


@pytest.mark.parametrize(("rank", "lines"), [(0, 1), (1, 0)])
def test_a_line_is_said_by_the_first_process_alone(rank, lines, monkeypatch, capsys):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    say("once")
    assert len(said(capsys.readouterr().out)) == lines
