"""Whole cases are scored one at a time: tables, predictions, page, and what is refused."""

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from helpers import slow_scores
from helpers.scripts import ROOT, answer_of, run_script
from segtrace import InputError
from segtrace.activation import SIGMOID, Organ
from segtrace.data.modules import SynapseData
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sources import RawSource
from segtrace.report.page.page import Page
from segtrace.report.tables import read_table
from segtrace.studies.evaluation.cases import Scoring, evaluate
from segtrace.studies.evaluation.kept import whole_in
from segtrace.studies.evaluation.result import Beside
from segtrace.studies.evaluation.study import Evaluate
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.explained import Settings

CASES = ("0001", "0027")
ORGANS = {"liver": 1, "aorta": 2, "pancreas": 3}


class Bands(nn.Module):
    """Of intensities: bright pixels are the liver's, brighter ones the aorta's."""

    def __init__(self, kept=(0, 1, 2, 3)):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.kept = list(kept)

    def forward(self, x):
        aorta = 400 * (x - 0.69)
        liver = 20 * (x - 0.52)
        logits = torch.cat([0 * x, liver, aorta, -1 - 0 * x], 1)
        return self.scale * logits[:, self.kept]


def network(activation="softmax", **options):
    channels = dict(ORGANS)
    if activation == SIGMOID:
        channels = {name: Organ(place, place + 1) for place, name in enumerate(ORGANS)}
    return TrainedNetwork(
        name="bands",
        net=Bands(range(4) if activation == "softmax" else range(1, 4)).eval(),
        stages={},
        channels=channels,
        preprocessing=Preprocessing((-125.0, 275.0), 48, ORGANS),
        settings=Settings(rules=["seg_grad_cam"], activation=activation, **options),
    )


def evaluated(root, folder, protocol="strict", trained=None):
    source = RawSource(str(root))
    trained, scoring = trained or network(), Scoring(protocol)
    return evaluate(trained, source.load, CASES, "test", source.numbering, scoring, folder)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_predictions_lie_on_the_files_and_are_what_was_scored(activation, tiny_raw, tmp_path):
    found = evaluated(tiny_raw, tmp_path, trained=network(activation))
    rows = {(row["case"], row["organ"]): row for row in read_table(tmp_path / "evaluation.csv")}
    assert [*rows] == [(case, organ) for case in CASES for organ in ORGANS]
    for case in CASES:
        label = nibabel.load(tiny_raw / "label" / f"label{case}.nii.gz")
        folder = tmp_path / "predictions" / case
        written = nibabel.load(folder / "prediction.nii.gz")
        np.testing.assert_array_equal(written.affine, label.affine)
        assert '"Liver"' in (folder / "labels_itksnap.txt").read_text()
        for organ, number in (("liver", 6), ("aorta", 8)):
            file = folder / "predictions" / f"{organ}.nii.gz"
            mask = np.asarray(written.dataobj) == ORGANS[organ]
            if activation == "sigmoid":
                mask = np.asarray(nibabel.load(file).dataobj) > 0
            true = np.asarray(label.dataobj) == number
            row, spacing = rows[case, organ], label.header.get_zooms()
            assert float(row["dice"]) == pytest.approx(slow_scores.dice(mask, true), abs=1e-12)
            hd95 = slow_scores.hd95(mask, true, spacing)
            assert float(row["hd95_mm"]) == pytest.approx(hd95, abs=1e-6)
            assert float(row["true_ml"]) == pytest.approx(true.sum() * np.prod(spacing) / 1000)
    assert rows["0001", "pancreas"]["finding"] == "absent"  # neither labelled nor predicted
    assert rows["0001", "pancreas"]["dice"] == "nan"
    assert found.summary[-1]["absent"] == 2


@pytest.mark.parametrize("size", [48, 96])
@pytest.mark.parametrize("resizing", ["linear", "cubic"])
@pytest.mark.parametrize(
    ("organs", "findings"),
    [
        (ORGANS, ["both", "both", "absent"]),
        ({"esophagus": 1, "aorta": 2, "spleen": 3}, ["false", "both", "missing"]),
    ],
)
def test_transunets_numbers_are_those_of_its_own_formulas(
    tiny_raw, tmp_path, organs, findings, resizing, size
):
    """Slices made smaller and larger, organs that are missing, false and absent."""
    preprocessing = Preprocessing((-125.0, 275.0), size, organs, resizing)
    trained = replace(network(), channels=organs, preprocessing=preprocessing)
    found = evaluated(tiny_raw, tmp_path, "transunet", trained)
    numbers = RawSource(str(tiny_raw)).numbering
    cases = []
    for volume in map(RawSource(str(tiny_raw)).load, CASES):
        image = (volume.image.clip(-125, 275) + np.float32(125)) / np.float32(400)
        labels = slow_scores.transunet_prediction(
            image, lambda x: Bands()(torch.from_numpy(x)[None, None])[0].argmax(0).numpy(), size
        )
        truth = sum(np.where(volume.label == numbers[o], c, 0) for o, c in organs.items())
        cases.append((labels, truth))
    of_classes, mean = slow_scores.transunet_table(cases, 3)
    *organs, last = found.summary
    ours = [(row["dice_mean"], row["hd95_voxels_mean"]) for row in organs]
    np.testing.assert_allclose(ours, of_classes, atol=1e-6)
    np.testing.assert_allclose((last["dice_mean"], last["hd95_voxels_mean"]), mean, atol=1e-6)
    assert 0 < last["dice_mean"] < 1
    assert [row["finding"] for row in read_table(tmp_path / "evaluation.csv")] == 2 * findings
    # Theirs knows no spacing: a voxel of 1 along every axis, whatever the file says.
    assert last["hd95_mm_mean"] != pytest.approx(last["hd95_voxels_mean"])


def test_one_case_is_held_at_a_time_and_leaves_its_rows(tiny_raw, tmp_path):
    def load(case):
        if case == "0001":
            return RawSource(str(tiny_raw)).load(case)
        assert {row["case"] for row in read_table(tmp_path / "evaluation.csv")} == {"0001"}
        raise InputError("the second is truncated")

    numbering = RawSource(str(tiny_raw)).numbering
    with pytest.raises(InputError, match="truncated"):
        evaluate(network(), load, CASES, "test", numbering, Scoring(), tmp_path)
    assert (tmp_path / "predictions" / "0001" / "prediction.nii.gz").is_file()


def test_the_page_says_what_was_scored_and_what_it_is_not(tiny_raw, tmp_path):
    found = replace(evaluated(tiny_raw, tmp_path / "test"), within=Path("test"))
    other = replace(found, within=Path("network_2", "test"))
    page = Page()
    for result in (found, other, Beside([found, other], Path("test"))):
        result.write(tmp_path)
        result.show(page)
    page.write(tmp_path / "index.html")
    html = (tmp_path / "index.html").read_text()
    for words in ("2 test cases, protocol strict", "not the twelve published", "Swin-Unet",
                  "The published tables are by the protocol transunet", "HD95 mm"):  # fmt: skip
        assert words in html
    published = read_table(tmp_path / "test" / "published.csv")
    assert [row["method"] for row in published[:2]] == [
        "bands, by strict", "network_2, bands, by strict",
    ]  # fmt: skip
    assert len(published) == 19
    for words in ("not the twelve", "protocol transunet", "It is not known which", "48 rows"):
        assert words in published[0]["note"]
    last = found.summary[-1]
    assert float(published[0]["dice"]) == pytest.approx(100 * last["dice_mean"])
    assert f"Mean Dice over 2 networks: {100 * last['dice_mean']:.2f} %, sd 0.00." in html
    manifest = json.loads((tmp_path / "test" / "manifest.json").read_text())
    assert (manifest["protocol"], manifest["cases"]) == ("strict", [*CASES])
    summary = read_table(tmp_path / "test" / "summary.csv")
    assert [row["organ"] for row in summary] == [*ORGANS, "mean"]


@pytest.mark.parametrize("phantom", [False, True])
def test_cases_that_the_network_was_trained_on_are_named(phantom, tiny_raw, tmp_path, capsys):
    """A phantom has the names of Synapse, and a network of it has not seen Synapse."""
    split = {"train": ["0005", "0027"], "val": [], "test": ["0001"]}
    trained = replace(network(), split=split, probes={"phantom": phantom})
    found = replace(evaluated(tiny_raw, tmp_path / "test", trained=trained), within=Path("test"))
    found.write(tmp_path)
    manifest = json.loads((tmp_path / "test" / "manifest.json").read_text())
    page = Page()
    found.show(page)
    words = "The network was trained on 1 case of the same name (0027)"
    told = [manifest["cautions"], manifest["differs"], page.about.cautions]
    assert [any(words in one for one in said) for said in told] == [not phantom] * 3
    assert capsys.readouterr().out.count(words) == (not phantom)
    assert list(found.seen) == ([] if phantom else ["0027"])


@pytest.mark.parametrize("placed", [True, False])
def test_the_page_says_where_predictions_lie_and_where_none_are(placed, tiny_raw, tmp_path):
    source = RawSource(str(tiny_raw))

    def load(case):
        volume = source.load(case)
        return volume if placed else replace(volume, grid=replace(volume.grid, affine=None))

    page = Page()
    found = evaluate(network(), load, ["0001"], "test", source.numbering, Scoring(), tmp_path)
    found.show(page)
    files = page.sections[0].sentences[-1]
    assert (tmp_path / "predictions").is_dir() == placed
    assert ("with the predictions as NIfTI" in files) == placed
    assert ("No predictions are written: npz and h5" in files) != placed


def test_organs_that_are_asked_for_alone_are_scored(tiny_raw, tmp_path):
    trained = network(organs=["liver"])
    evaluated(tiny_raw, tmp_path, trained=trained)
    assert {row["organ"] for row in read_table(tmp_path / "evaluation.csv")} == {"liver"}
    source = RawSource(str(tiny_raw))
    with pytest.raises(InputError, match="no organ to score: the network knows liver"):
        evaluate(trained, source.load, CASES, "test", {"a": 1}, Scoring(), tmp_path)


OPTIONS = dict.fromkeys(
    ("rules", "region", "score", "measures", "aggregate", "image", "log_dir")
) | {"probes": {"n": None, "from": None}, "data": {"root": "r"}}


@pytest.mark.parametrize(
    ("study", "given", "message"),
    [
        ({"protocol": "medpy"}, {}, "no protocol 'medpy'; allowed are strict, transunet"),
        ({"tolerance": -1.0}, {}, "study.tolerance=-1.0; give 0 to 100 mm"),
        ({"part": "tests"}, {}, "no study.part 'tests'"),
        ({}, {"rules": ["grad_pam"]}, "evaluate and rules do not go together"),
        ({}, {"image": "a.nii"}, "evaluate and image do not go together"),
        ({}, {"probes": {"n": 3}}, "probes.n chooses slices.*study.part=val"),
        ({}, {"data": None}, "say whose cases: evaluate=true needs data="),
    ],
)
def test_what_does_not_go_together_is_refused(study, given, message):
    with pytest.raises(InputError, match=message):
        Evaluate(**study).check(OPTIONS | given)
    Evaluate().check(OPTIONS)


@pytest.fixture
def drawing_the_liver(run, tmp_path):
    """A checkpoint of a training that drew one organ of its four."""
    saved = torch.load(run.checkpoint(2), weights_only=True)
    saved["segtrace"]["explain"]["organs"] = ["liver"]
    torch.save(saved, tmp_path / "liver.ckpt")
    return tmp_path / "liver.ckpt"


def scored(path, root, folder, part="test", organs=None, **data):
    """What the study finds, without a process of its own."""
    options = OPTIONS | {
        "checkpoint": str(path), "net": None, "stages": None, "organs": organs, "processes": 1,
        "trainer": {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "logger": False,
                    "enable_checkpointing": False, "enable_model_summary": False},
        "data": {"_target_": "segtrace.data.modules.SynapseData", "root": str(root), **data},
    }  # fmt: skip
    networks = Networks(options, Evaluate.looks_at, folder, None, Evaluate.of_one_run)
    first, _ = Evaluate(part=part).run(networks, networks.images)
    return first


def test_all_organs_are_scored_whatever_the_training_drew(
    drawing_the_liver, tiny_raw, tiny_split, tmp_path
):
    found = scored(drawing_the_liver, tiny_raw, tmp_path, split=tiny_split)
    assert found.evaluated.organs == ("spleen", "left_kidney", "liver", "stomach")
    found = scored(drawing_the_liver, tiny_raw, tmp_path, organs=["stomach"], split=tiny_split)
    assert found.evaluated.organs == ("stomach",)


def test_all_cases_are_scored_without_a_split(run, tiny_raw, tmp_path):
    found = scored(run.checkpoint(2), tiny_raw, tmp_path, "all")
    assert [*found.evaluated.scores] == ["0001", "0005", "0006", "0027"]
    assert list(found.seen) == ["0005", "0006"]
    with pytest.raises(InputError, match=r"no published split; cases found.*; or.*study.part=all$"):
        scored(run.checkpoint(2), tiny_raw, tmp_path / "test")


def test_cases_are_scored_that_are_named_without_any_to_train_on(run, tiny_raw, tmp_path):
    named = {"split": {"test": ["0001"]}}
    found = scored(run.checkpoint(2), tiny_raw, tmp_path, None, **named)
    assert [*found.evaluated.scores] == ["0001"]
    with pytest.raises(InputError, match=r"has no val cases; say study.part=test, or all$"):
        scored(run.checkpoint(2), tiny_raw, tmp_path, "val", **named)
    module = SynapseData(str(tiny_raw), cache_dir=str(tmp_path), **named)
    with pytest.raises(InputError, match=r"^data.split names no cases to train on; cases found"):
        module.setup("fit")
    with pytest.raises(InputError, match=r"no val cases; say probes\.from=test"):
        module.probes()


def test_the_script_scores_the_test_cases_of_a_checkpoint(run, tiny_raw, tmp_path):
    data = [
        "data=synapse", f"data.root={tiny_raw}", f"data.cache_dir={tmp_path}/cache",
        "data.split={train: ['0005','0006'], val: ['0027'], test: ['0001']}",
    ]  # fmt: skip
    asked = [f"checkpoint={run.checkpoint(2)}", "protocol=transunet", *data,
             f"hydra.run.dir={tmp_path}/out"]  # fmt: skip
    ran = run_script("explain.py", *asked, cwd=tmp_path)
    assert ran.code == 0, ran.err[-2000:]
    assert "Scoring 1 test case by the protocol transunet" in ran.out
    with (tmp_path / "out" / "test" / "evaluation.csv").open() as file:
        assert {row["case"] for row in csv.DictReader(file)} == {"0001"}
    assert "Beside the published tables" in (tmp_path / "out" / "index.html").read_text()
    again = answer_of("explain.py", *asked, "study.tolerance=3")
    assert "holds results of other options, study.tolerance=2.0, and" in again.err
    assert str(ROOT) not in again.err


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_was_stopped_goes_on_to_the_same_bytes(tiny_raw, tmp_path, capsys):
    source, cases, read = RawSource(str(tiny_raw)), ["0001", "0005", "0006"], []

    def score(folder, stop=None, trained=None, scoring=None, files=source.files):
        def load(case):
            read.append(case)
            if case == stop:
                raise InputError("it is stopped here")
            return source.load(case)

        read.clear()
        evaluate(
            trained or network(), load, cases, "all", source.numbering, scoring or Scoring(),
            folder, files=files,
        ).write(folder)  # fmt: skip
        return list(read)

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert score(whole) == cases
    with pytest.raises(InputError, match="stopped here"):
        score(stopped, "0006")
    assert "kept" not in capsys.readouterr().out
    assert whole_in(stopped) == 2
    half = stopped / "predictions" / "0006"  # of a process that was killed while it wrote
    half.mkdir()
    (half / ".prediction.nii.gz.77.part").write_bytes(b"half")
    (half / "of_another_organ.nii.gz").write_bytes(b"")
    (stopped / ".evaluation.csv.77.part").write_bytes(b"half")
    assert score(stopped) == ["0006"]
    assert "2 of 3 cases scored before, by these weights: kept." in capsys.readouterr().out
    assert files_of(stopped) == files_of(whole)

    for damaged in ("predictions/0005/prediction.nii.gz", "whole/0005.json"):
        content = (stopped / damaged).read_bytes()
        (stopped / damaged).write_bytes(content[:-9])
        assert score(stopped) == ["0005"]
        assert files_of(stopped) == files_of(whole)
    kept = stopped / "whole" / "0005.json"
    kept.write_text(kept.read_text().replace('"name": "0005"', '"name": "0006"'))
    assert score(stopped) == ["0005"]
    kept.unlink()
    os.mkfifo(kept)
    assert score(stopped) == ["0005"]
    assert files_of(stopped) == files_of(whole)
    assert score(stopped) == []
    other = network()
    other.net.scale.data.mul_(1.5)
    assert "anew" not in capsys.readouterr().out
    for changed, why in (
        ({"trained": other}, "weights"),
        ({"scoring": Scoring(tolerance=3.0)}, "weights, tolerance"),
        ({"scoring": Scoring("transunet")}, "protocol, tolerance"),
        ({"files": lambda case: source.files(case)[::-1]}, "protocol, files"),
    ):
        assert score(stopped, **changed) == cases
        said = capsys.readouterr().out
        assert f"3 cases scored before and now anew, with other {why}." in said


@pytest.mark.long
def test_an_evaluation_that_is_killed_goes_on_by_the_same_command(run, tiny_raw, tmp_path):
    asked = [
        f"checkpoint={run.checkpoint(2)}", "evaluate=true", "study.part=all", "data=synapse",
        f"data.root={tiny_raw}", f"data.cache_dir={tmp_path}/cache",
        "data.split={train: ['0005','0006'], val: ['0027'], test: ['0001']}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    folders = [tmp_path / name for name in ("whole", "killed")]
    ran = [run_script("explain.py", *asked, f"hydra.run.dir={folders[0]}", cwd=tmp_path)]
    command = [sys.executable, str(ROOT / "explain.py"), *asked, f"hydra.run.dir={folders[1]}"]
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not whole_in(folders[1]) and time.monotonic() < until:
        time.sleep(0.002)
    first.kill()
    first.wait()
    done = whole_in(folders[1])
    assert 1 <= done <= 4
    ran.append(run_script("explain.py", *asked, f"hydra.run.dir={folders[1]}", cwd=tmp_path))
    assert [one.code for one in ran] == [0, 0], ran[1].err[-2000:]
    assert f"{done} of 4 cases scored before, by these weights: kept." in ran[1].out
    parts = [files_of(folder / "all") for folder in folders]
    assert parts[0] == parts[1]
    assert {f"whole/{case}.json" for case in ("0001", "0005", "0006", "0027")} <= parts[0].keys()
