"""What one method lacks the time for is said, and the others go on."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from segtrace.explainers.explainer import Budget, OutOfTimeError
from segtrace.progress import Progress
from segtrace.report.page.page import Page
from segtrace.studies import explainers as studied


class Found:
    def section(self):
        return None


class Slow(SimpleNamespace):
    title, max_seconds = "Slow", 1.0

    def explain(self, *_):
        raise OutOfTimeError("Slow: 1 s are over before a map is done; give more max_seconds")


class Quick(SimpleNamespace):
    title, max_seconds = "Quick", None

    def explain(self, *_):
        return Found()


def test_an_explainer_without_enough_time_ends_no_other(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(studied, "targets_of", lambda *_: {})
    network = SimpleNamespace(probes=None, channels={}, settings=None)
    trained = SimpleNamespace(on=lambda _: network, epoch=1)
    networks = SimpleNamespace(last=(trained, tmp_path))
    both = {"slow": Slow(), "quick": Quick()}
    late, done = studied.run_explainers(both, networks, SimpleNamespace(slices=None))
    assert done.within == tmp_path / "explainers" / "quick"
    page = Page()
    late.write(tmp_path)
    late.show(page)
    (section,) = page.sections
    assert section.heading == "Slow"
    assert "give more max_seconds" in section.sentences[0]
    assert "Slow: 1 s are over" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limit", "words", "left"),
    [(None, "work", [9.0, 7.0]), (5.0, "work, stopping at max_seconds=5", [5.0, 3.0])],
)
def test_no_more_time_is_told_than_there_is(limit, words, left):
    heard = []

    @contextmanager
    def hears(said):
        heard.append(said)
        yield lambda progress: heard.append(progress.left)

    with Budget(limit, hears).shown("work") as tell:
        tell(Progress(0, 9, 0.0, 9.0))
        tell(Progress(2, 9, 2.0, 7.0))
    assert heard == [words, *left]
