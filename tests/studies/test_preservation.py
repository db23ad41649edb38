"""The study of what maps preserve: its table, its words, and maps drawn at random."""

from pathlib import Path

import pytest
import torch

import segtrace
from helpers import nets
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.causal.faithfulness.preservation import NUMBERS, PRESERVATION, WAYS, preservation
from segtrace.report.page.page import Page
from segtrace.report.tables import read_table
from segtrace.studies.preservation import Preservation, Preserved


def of_kept(kept):
    """One rule and organ, two slices of two cases; stage -> (map, shuffled, even) preserved."""
    values = torch.tensor([*kept.values()]).double()[:, None, None, :, None].expand(-1, 1, 1, 3, 2)
    named = {"sites": [*kept], "rules": ["grad_pam"], "organs": ["liver"], "ways": WAYS,
             "cases": ["a", "b"], "fill": 0.0, "draws": 1}  # fmt: skip
    numbers = {name: values if name == NUMBERS[0] else 0.5 + 0 * values for name in NUMBERS}
    return Preserved(PRESERVATION.dataset(named | numbers), Path())


def test_maps_that_a_map_that_knows_nothing_equals_are_named(tmp_path, capsys):
    found = of_kept({"enc1": [0.4, 0.6, 0.3], "dec1": [0.9, 0.5, 0.2], "dec2": [0.5, 0.1, 0.5]})
    (_, words) = found.sentences
    assert "A shuffled or an even map preserves as much" in words
    assert "Grad-PAM at enc1, dec2." in words
    page = Page()
    found.show(page)
    (section,) = page.sections
    assert section.tables[0].rows[0][:5] == ("Grad-PAM", "enc1", "0.4", "0.6", "0.3")
    assert "mullan2023" in section.sentences[0]
    found.write(tmp_path)
    assert words in capsys.readouterr().out
    table = read_table(tmp_path / "preservation.csv")
    assert len(table) == 3 * 3 * 2
    assert table[0]["case"] == "a"
    assert of_kept({"dec1": [0.9, 0.5, 0.2]}).sentences[1].startswith("No map preserves as little")


def test_what_is_not_defined_is_in_no_mean():
    found = of_kept({"enc1": [torch.nan] * 3, "dec1": [0.9, 0.5, 0.2]})
    assert [row["stage"] for row in found.means] == ["dec1"]
    assert "enc1" not in found.sentences[1]


def test_maps_drawn_at_random_are_told_apart_from_none():
    """They pass at some stages and fail at others: with 20 draws some must be named."""
    x, truth = nets.images(4, 16), nets.labels(4, 16, 3)
    target = targets.organs({"a": 1}, "gt", truth)
    named, by = 0, torch.Generator().manual_seed(0)
    for _ in range(20):
        flow = segtrace.trace(nets.plain(), nets.PLAIN_STAGES, x, target, ["grad_pam"])
        for one in flow.maps.values():
            one[:] = torch.rand(one.shape, generator=by)
        flow.status[:] = Status.OK
        data = preservation(nets.plain(), flow, x, {"a": 1}, draws=1)
        named += sum(stage in Preserved(data, Path()).sentences[1] for stage in flow.stages)
    assert named > 20  # of 60; half, if a random map were held against one shuffle alone


def test_options_without_sense_are_refused():
    with pytest.raises(InputError, match="draws=0; give 1 shuffled map"):
        Preservation(draws=0)


def test_explain_py_measures_every_map(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "study=preservation", "study.draws=1",
        "stages=[enc2,dec3,dec4,head]", "organs=[liver]", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "masking the image by every map, about" in ran.out
    table = read_table(tmp_path / "out" / "preservation.csv")
    merged = {"decoder", "encoder and decoder"}
    assert merged <= {row["site"] for row in table} <= merged | {"enc2", "dec3", "dec4", "head"}
    assert {row["way"] for row in table} == set(WAYS)
    assert all(0 <= float(row["prediction_preserved"]) <= 1 for row in table)
    assert (
        "What do the maps preserve of the prediction?"
        in (tmp_path / "out" / "index.html").read_text()
    )
