"""The study of what maps preserve: its table, its words, and maps that know nothing."""

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
from segtrace.studies.preservation import Preservation, Preserved, _merged

CONTROLS = [0.1, 0.2, 0.15, 0.4, 0.3]
"""Of an even map, the image, the prediction, another slice's, the untrained network's."""


def of_kept(kept, cases=6, left_out=(), drawn=()):
    """One rule and organ, a slice a case; stage -> (map, its controls) preserved, in all cases."""
    values = torch.tensor([*kept.values()]).double()[:, None, None, :, None]
    values = values * torch.linspace(0.98, 1.02, cases).double()
    named = {"sites": [*kept], "rules": ["grad_pam"], "organs": ["liver"], "ways": WAYS,
             "cases": [*map(str, range(cases))], "fill": 0.0, "draws": 1}  # fmt: skip
    numbers = {name: values if name == NUMBERS[0] else 0.5 + 0 * values for name in NUMBERS}
    why, slices = dict.fromkeys(left_out, "Dice below 0.5"), range(20, 20 + cases)
    return Preserved(PRESERVATION.dataset(named | numbers), slices, (), Path(), why, drawn)


def test_maps_that_are_beyond_every_control_are_named_and_no_others(tmp_path, capsys):
    kept = {"enc1": [0.45, 0.5, *CONTROLS], "dec1": [0.9, 0.5, *CONTROLS],
            "dec2": [0.35, 0.1, *CONTROLS]}  # fmt: skip
    found = of_kept(kept)
    (_, words, *passed) = found.sentences
    assert words == (
        "More of the prediction than by every control (shuffled, even, image, prediction, "
        "other, untrained) "
        "is preserved by Grad-PAM at dec1, over 6 cases."
    )
    assert "corrected for 3 tests; against every control beside it" in passed[0]
    page = Page()
    found.show(page)
    (section,) = page.sections
    assert section.tables[0].rows[0][:9] == (
        "Grad-PAM", "enc1", "0.45", "0.5", "0.1", "0.2", "0.15", "0.4", "0.3",
    )  # fmt: skip
    assert "mullan2023" in section.sentences[0]
    found.write(tmp_path)
    assert words in capsys.readouterr().out
    table = read_table(tmp_path / "preservation.csv")
    assert len(table) == 3 * 7 * 6
    assert (table[0]["case"], table[0]["slice"]) == ("0", "20")
    assert (tmp_path / "figures" / "preservation.png").stat().st_size > 10000
    assert len(section.figures) == 1


def test_of_few_cases_nothing_is_claimed_and_where_nothing_passes_that_is_said():
    few = of_kept({"dec1": [0.9, 0.5, *CONTROLS]}, cases=4).claim
    none = of_kept({"dec1": [0.39, 0.1, *CONTROLS]}).claim
    assert few.words.endswith(
        "is preserved by no map that can be named: 4 cases, and a claim takes 5."
    )
    assert none.words.endswith("is preserved by no map, over 6 cases.")
    assert not few.holds
    assert not none.holds


def test_a_map_that_preserves_less_than_the_prediction_is_not_named():
    beside = [0.1, 0.2, 0.95, 0.4, 0.3]
    assert not of_kept({"dec1": [0.9, 0.5, *beside]}).claim.holds


def test_organs_that_are_not_found_and_the_stage_next_to_the_head_are_in_no_test():
    kept = {"dec1": [0.9, 0.5, *CONTROLS], "dec2": [0.95, 0.5, *CONTROLS]}
    found = of_kept(kept, drawn=("dec2", "head"))
    assert "is preserved by Grad-PAM at dec1, over 6 cases." in found.claim.words
    assert [*found.claim.numbers] == ["p of Grad-PAM at dec1"]
    assert "a map at dec2 is the prediction drawn anew" in found.sentences[-1]
    none = of_kept(kept, left_out=["liver"])
    assert not none.claim.holds
    assert none.claim.words.endswith("no map that can be named: none was tested.")
    assert none.sentences[-1] == "Left out of the test: liver: Dice below 0.5."


def test_of_how_many_maps_the_brightness_preserves_more_is_told():
    controls = [0.1, 0.9, 0.2, 0.4, 0.3]
    words = of_kept({"dec1": [0.8, 0.5, *controls], "dec2": [0.95, 0.5, *controls]}).sentences[-1]
    assert "than 1 of 2 maps (mean over organs and slices 0.90, of the best map 0.95;" in words
    assert "brightness, which" not in of_kept({"dec1": [0.95, 0.5, *controls]}).sentences[-1]


def test_sides_are_put_together_where_both_are_there():
    x, truth = nets.images(1, 16), nets.labels(1, 16, 3)
    target = targets.organs({"a": 1}, "gt", truth)

    def sites(**stages):
        return set(_merged(segtrace.trace(nets.plain(), stages, x, target, ["grad_pam"])).sites)

    assert "decoder" in sites(dec1="1", dec2="3")
    assert "encoder and decoder" not in sites(dec1="1", dec2="3")
    assert "encoder and decoder" not in sites(enc1="1", enc2="3")
    assert "encoder and decoder" in sites(enc1="1", dec1="3")


def test_what_is_not_known_is_in_no_mean_and_no_control():
    nan = torch.nan
    found = of_kept({"enc1": [nan] * 7, "dec1": [0.5, 0.3, 0.2, 0.1, 0.2, 0.4, nan]})
    assert [row["stage"] for row in found.means] == ["dec1"]
    assert "untrained" not in found.means[0]
    assert (
        "(shuffled, even, image, prediction, other) is preserved by Grad-PAM at dec1,"
        in found.claim.words
    )


def test_of_maps_drawn_at_random_hardly_any_is_named():
    """Their place says nothing; so no control is beaten but by chance, in 5 % of texts."""
    x, truth = nets.images(6, 16), nets.labels(6, 16, 3)
    target, net = targets.organs({"a": 1}, "gt", truth), nets.plain()
    by, named = torch.Generator().manual_seed(0), 0
    flow, before = (
        segtrace.trace(net, nets.PLAIN_STAGES, x, target, ["grad_pam"]) for _ in range(2)
    )
    for _ in range(20):
        for one in (*flow.maps.values(), *before.maps.values()):
            one[:] = torch.rand(one.shape, generator=by)
        flow.status[:] = before.status[:] = Status.OK
        data = preservation(net, flow, x, {"a": 1}, untrained=before, draws=1)
        named += Preserved(data, range(6), (), Path(), {}, ()).claim.holds
    assert named <= 2


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
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Nothing to compare with" not in page
    assert run.checkpoint(2).name in page  # what made it
    assert all(0 <= float(row["prediction_preserved"]) <= 1 for row in table if row["excess"])
    assert "What do the maps preserve of the prediction?" in page
