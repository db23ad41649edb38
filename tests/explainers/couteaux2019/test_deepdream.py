"""DeepDream as a whole: its start, partial work, volumes, files, and what it leaves alone."""

import json
from dataclasses import replace

import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, X, clock, explained, network
from helpers.scripts import answer_of
from helpers.untouched import untouched
from segtrace import InputError
from segtrace.explainers.couteaux2019.deepdream import DeepDream
from segtrace.explainers.couteaux2019.features import NAMES, Ruler, of_regions
from segtrace.progress import Progress
from segtrace.report.tables import read_table


def test_at_step_0_features_are_those_of_the_slices_as_they_are():
    trajectory = explained(DeepDream(steps=2)).trajectory
    found = NET(X).argmax(1)
    ruler = Ruler.of(torch.ones(3, 2), 2, None, hounsfield=False)
    for q, channel in enumerate(ORGANS.values()):
        own = of_regions(found == channel, X[:, 0], ruler, slice(None)).numbers
        for o in range(2):
            climbed = trajectory.scores[0, o].isfinite()
            for name in NAMES:
                torch.testing.assert_close(
                    trajectory.features[name][0, o, q][climbed], own[name][climbed], equal_nan=True
                )


def test_what_is_not_there_or_not_finite_says_so():
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, x, x * torch.nan], 1)

    found = explained(DeepDream(steps=1), network(net=Broken()))
    status = {(row["organ"], row["slice"]): row["status"] for row in found.rows()}
    for n in range(3):
        assert status["a", n] == ("ok" if (TRUTH[n] == 1).any() else "absent")
        assert status["b", n] == ("nonfinite" if (TRUTH[n] == 2).any() else "absent")
    found.section()


def test_steps_shown_are_every_so_many_and_the_last():
    assert explained(DeepDream(steps=5, every=2)).trajectory.steps == (0, 2, 4, 5)


def test_what_is_drawn_is_what_was_there():
    trajectory = explained(DeepDream(steps=4, every=2)).trajectory
    for o, organ in enumerate(ORGANS):
        for frames in trajectory.frames[organ]:
            assert torch.equal(frames.images[0], X[frames.n, 0])
            assert torch.equal(frames.images[-1], trajectory.dreams[o, frames.n, 0])
            areas = [int(mask.sum()) for mask in frames.masks]
            assert areas == trajectory.own("area")[:, o, frames.n].tolist()


def test_time_that_runs_out_keeps_the_steps_that_are_done_and_says_so(monkeypatch, tmp_path):
    clock(monkeypatch)
    found = explained(DeepDream(steps=50, every=2), max_seconds=5)
    done = found.climbed.steps
    assert 1 < done < 50
    assert found.trajectory.steps[-1] == done
    whole = explained(DeepDream(steps=done, every=2))
    torch.testing.assert_close(found.trajectory.scores, whole.trajectory.scores, equal_nan=True)
    found.write(tmp_path)
    facts = json.loads((tmp_path / "manifest.json").read_text())
    assert (facts["whole"], facts["steps"], facts["options"]["steps"]) == (False, done, 50)
    said = " ".join(found.section().sentences)
    assert f"Partial: {done} of 50 steps" in said
    assert "no time for the controls: no claim" in said
    assert f"partial: {done} of 50 steps" in found.caption("a")
    assert "partial" not in whole.caption("a")
    assert not found.verdicts


def test_the_cost_is_said_before_the_start():
    heard = []
    segtrace.explainers.deepdream(NET, X, ORGANS, TRUTH, steps=3, draws=2, progress=heard.append)
    assert isinstance(heard[0], Progress)
    assert heard[0].done == 0
    assert heard[-1].done == heard[-1].total == 3 * (2 * (4 + 20) + 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps of DeepDream is 0"),
        ({"step_size": 0.0}, "step_size=0.0; give more than 0, or None"),
        ({"norm": "l1"}, "no norm 'l1'; allowed are l2, std"),
        (
            {"clamp": (1, 0)},
            r"clamp of DeepDream is \(1, 0\); give lower and upper end, .* or None",
        ),
        ({"clamp": (1,)}, r"clamp of DeepDream is \(1,\); give lower and upper end"),
        ({"clamp": 0.5}, r"clamp of DeepDream is 0.5; give lower and upper end"),
        ({"clamp": ("0", 1)}, "give lower and upper end"),
        ({"clamp": (float("nan"), 1)}, "give lower and upper end"),
        ({"untrained": 3}, "untrained of DeepDream is 3; give a network"),
        ({"hounsfield": "ab"}, "hounsfield of DeepDream is 'ab'; give lower and upper end"),
        ({"max_seconds": 0.0}, "max_seconds=0.0; give more than 0"),
        ({"seed": -1}, "seed of DeepDream is -1"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        DeepDream(**options)


@pytest.mark.filterwarnings("error")
def test_from_python_networks_are_left_as_they_were():
    parts = torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3)  # which learns in passing
    net, before = nets.plain().train(), nets.stirred(lambda: torch.nn.Sequential(*parts)).train()
    with untouched(net, X, TRUTH, ORGANS), untouched(before):
        found = segtrace.explainers.deepdream(
            net, X, ORGANS, TRUTH, region="gt", steps=2, untrained=before, hounsfield=(-160, 240),
            spacing=torch.ones(3, 2), cases=["p", "q", "r"],
        )  # fmt: skip
    assert torch.equal(found.trajectory.dreams, explained(DeepDream(steps=2)).trajectory.dreams)
    assert {row["value_unit"] for row in found.rows()} == {"HU"}
    assert {row["area_unit"] for row in found.rows()} == {"mm²"}
    assert {row["case"] for row in found.rows()} == {"p", "q", "r"}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_volumes_are_climbed_and_drawn_by_a_plane(activation, tmp_path):
    net = nets.stirred(lambda: torch.nn.Conv3d(1, 3, 3, padding=1))
    x = torch.rand(2, 1, 6, 8, 7, generator=torch.Generator().manual_seed(0)).double()
    organs = {"a": {"channel": 1, "label": 1}, "b": {"channel": 2, "label": 2}}
    found = segtrace.explainers.deepdream(
        net, x, organs, activation=activation, steps=2, spacing=torch.full((2, 3), 2.0)
    )
    there = net(x)[:, 1] > 0 if activation == "sigmoid" else net(x).argmax(1) == 1
    area = found.trajectory.own("area")
    torch.testing.assert_close(area[0, 0], 8.0 * there.flatten(1).sum(1).double())
    gained = found.trajectory.scores[-1] > found.trajectory.scores[0]
    assert gained.all()
    assert {row["area_unit"] for row in found.rows()} == {"mm³"}
    found.write(tmp_path)
    frames = found.trajectory.frames["a"][0]
    most = there[frames.n].flatten(1).sum(1)
    assert most[frames.plane] == most.max()
    assert (tmp_path / "figures" / "deepdream" / "a.gif").read_bytes()[:6] == b"GIF89a"


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"cases": ["p"]}, "1 cases of 3 images; give as many names"),
        ({"spacing": torch.ones(2, 2)}, "2 spacing of 3 images; give as many rows of mm"),
        ({"spacing": torch.ones(3, 3)}, r"spacing has shape \(3, 3\); give .* \(3, 2\)"),
        ({"hounsfield": (240, -160)}, r"is \(240, -160\); give lower and upper end"),
    ],
)
def test_what_is_known_beside_must_fit(known, message):
    with pytest.raises(InputError, match=message):
        segtrace.explainers.deepdream(NET, X, ORGANS, TRUTH, steps=1, **known)


def test_hostile_names_become_safe_files_and_cells(tmp_path):
    of = network(organs={"../a": 1, "=1+1": 2})
    of = of._replace(probes=replace(of.probes, cases=("=x()", "<b>", "c")))
    explained(DeepDream(steps=1), of).write(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    raw = (tmp_path / "out" / "trajectory.csv").read_text()
    assert "\n=x()" not in raw
    assert ",=1+1" not in raw


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[deepdream]",
        "explainers.deepdream.steps=2", "explainers.deepdream.draws=1", "organs=[liver]",
        "failures=false", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "DeepDream: 2 steps up the score of 1 organ, " in ran.out
    folder = tmp_path / "out" / "explainers" / "deepdream"
    rows = read_table(folder / "trajectory.csv")
    assert {row["organ"] for row in rows} == {"liver"}
    assert {row["step"] for row in rows} == {"0", "2"}
    assert len({row["observed"] for row in rows}) > 1
    assert {row["value_unit"] for row in rows} == {"HU"}
    verdicts = read_table(folder / "verdicts.csv")
    assert {row["verdict"] for row in verdicts} <= {"sensitive", "no claim"}
    assert all(row["step_untrained"] for row in verdicts)
    figures = folder / "figures" / "deepdream"
    assert {path.name for path in figures.iterdir()} == {
        "liver.png", "liver_curves.png", "liver.gif", "caption.txt", "references.bib",
    }  # fmt: skip
    assert "couteaux2019" in (figures / "references.bib").read_text()
    assert "<h2>DeepDream</h2>" in (tmp_path / "out" / "index.html").read_text()
