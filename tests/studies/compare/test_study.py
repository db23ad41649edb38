"""The comparison as a user runs it, and what is refused."""

from types import SimpleNamespace

import pytest
import torch

from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.report.tables import read_table
from segtrace.studies.compare.study import CHEAP, Compare
from segtrace.studies.study import RunsExplainers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 1}, "steps=1; take the pixels in 2 parts or more"),
        ({"draws": 0}, "draws=0; give 1 random map or more"),
        ({"hidden": "blur"}, "hidden=blur; give a list of black, blur, mean"),
        ({"hidden": ["white"]}, "no way to hide pixels 'white'"),
    ],
)
def test_options_without_sense_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Compare(**options)


def test_explainers_are_those_named_or_else_those_that_are_cheap(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(Compare, "_found", lambda *given: asked.append(given[-1]))
    monkeypatch.setattr("segtrace.studies.compare.study.settled", lambda network: network)
    trained = SimpleNamespace(name="net", on=lambda _: SimpleNamespace(probes=[]), facts={})
    probes = type("Slices", (list,), {"marks": (), "cases": ()})()
    trained.on = lambda _: SimpleNamespace(probes=probes, settings=SimpleNamespace(region="gt"))
    networks, images = [(trained, None)], SimpleNamespace(slices=None)
    own = SimpleNamespace(max_seconds=90)
    assert isinstance(Compare(), RunsExplainers)
    for study, named in ((Compare(), {}), (Compare(explainers=False), {}), (Compare(), {"x": own})):
        list(study.run_beside(networks, images, named))
    assert [type(one) for one in asked[0]] == list(CHEAP)
    assert asked[1:] == [[], [own]]
    words = [line for line in capsys.readouterr().out.split("\n") if "Then measuring: 60 f" in line]
    limits = ["40:00 in all at most", "", "1:30 in all at most"]
    assert [limit in line for limit, line in zip(limits, words, strict=True)] == [True] * 3


def test_explain_py_compares_all_maps(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "study=compare", "study.steps=2",
        "study.draws=1", "organs=[liver]", "rules=grad_pam", "explainer=[rise]",
        "explainers.rise.masks=10", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "deletion and insertion of" in ran.out
    assert "and a claim takes 5" in ran.out
    table = read_table(tmp_path / "out" / "compare_means.csv")
    names = {row["row"] for row in table}
    assert {"Grad-PAM at dec4", "RISE", "Grad-PAM at dec4, untrained", "the CT itself"} <= names
    assert {row["row"] for row in read_table(tmp_path / "out" / "compare.csv")} == names
    assert all(row["control"] in ("True", "False") for row in table)
    assert (tmp_path / "out" / "figures" / "compare.png").is_file()
    assert not (tmp_path / "out" / "explainers").exists()  # run once, as rows
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Which maps carry the prediction?" in page
    assert "sha256" in page
    assert "(probes.n of each), and what they carry" in ran.out
