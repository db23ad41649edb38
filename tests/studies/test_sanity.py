"""The study of fresh weights, on a run of the scripts."""

import pytest
import torch

from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.report.tables import read_table
from segtrace.studies.sanity import SanityCheck


def test_explain_py_draws_the_weights_anew(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "study=sanity", "study.seeds=1",
        "stages=[dec4,head]", "organs=[liver,spleen]", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "drawing the weights of 10 stages anew 1x, 22 traces, about" in ran.out
    assert "no claim" in ran.out
    table = read_table(tmp_path / "out" / "sanity.csv")
    assert {row["site"] for row in table} == {"dec4", "head"}
    assert len({row["step"] for row in table}) == 11  # all stages forget, whichever are explained
    own = [row for row in table if (row["step"], row["region"]) == ("trained", "own")]
    assert all(float(row["spearman"]) == pytest.approx(1) for row in own)
    verdicts = read_table(tmp_path / "out" / "sanity_verdicts.csv")
    assert {row["verdict"] for row in verdicts} == {"too few cases"}
    assert (tmp_path / "out" / "figures" / "sanity.png").stat().st_size > 10000
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Do the maps depend on the weights?" in page


def test_options_without_sense_are_refused():
    with pytest.raises(InputError, match="seeds=0; give 1 draw of fresh weights"):
        SanityCheck(seeds=0)
    options = {"log_dir": None, "untrained": None, "region": "all"}
    with pytest.raises(InputError, match="region=all: study=sanity keeps the region"):
        SanityCheck().check(options)
    SanityCheck().check(options | {"region": "pred"})
    with pytest.raises(InputError, match="leave log_dir out"):
        SanityCheck().check(options | {"log_dir": "logs", "region": None})
