"""What one method lacks the time for is said, and the others go on."""

from types import SimpleNamespace

from segtrace.explainers.explainer import OutOfTimeError
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
