import sys

from segtrace.causal.batches import Progress
from segtrace.tracking.progress import telling


class Terminal:
    """A screen that remembers."""

    def __init__(self):
        self.shown = ""

    def write(self, words):
        self.shown += words

    def flush(self):
        pass

    def isatty(self):
        return True


def tell_all(shown):
    with telling(shown) as tell:
        tell(Progress(0, 4, 0.0, 12.0))
        tell(Progress(4, 4, 12.0, 0.0))
        tell(Progress(0, 2, 0.0, 7.0))
        tell(Progress(2, 2, 7.0, 0.0))


def test_a_terminal_sees_the_estimate_before_each_part(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    tell_all(shown=True)
    assert "Cutting stages and edges, about 12 s" in screen.shown
    assert "Integrating along the route, about 7 s" in screen.shown


def test_a_file_or_a_quiet_training_sees_nothing(monkeypatch, capsys):
    tell_all(shown=True)
    assert capsys.readouterr().err == ""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    tell_all(shown=False)
    assert screen.shown == ""
