"""Both scripts on networks whose channels decide each for itself."""

import csv
from pathlib import Path

import nibabel
import pytest
import torch

from helpers.scripts import SMALL_NET, answer_of, run_script, tiny_data
from segtrace.activation import Organ
from segtrace.checkpoint.loading import describe
from segtrace.report.tables import read_table
from segtrace.studies.inputs.trained_network import from_checkpoint
from segtrace.tracking.explained import explain_probes

ORGANS = {"one": ["liver"], "three": ["spleen", "left_kidney", "liver"]}


def train(tiny_raw, folder, organs, *more):
    """The folder of a run of one epoch."""
    ran = run_script(
        "train.py",
        *tiny_data(tiny_raw),
        *SMALL_NET,
        f"data.organs=[{','.join(organs)}]",
        "model.activation=sigmoid",
        "trainer.max_epochs=1",
        "hydra.run.dir=the_run",
        "data.cache_dir=cache",
        *more,
        cwd=folder,
    )
    assert ran.code == 0, ran.err[-3000:]
    return folder / "the_run"


@pytest.fixture(scope="module", params=ORGANS)
def trained(request, tiny_raw, tmp_path_factory):
    """A checkpoint after an epoch, and the organs; the folder of its run."""
    organs = ORGANS[request.param]
    return train(tiny_raw, tmp_path_factory.mktemp(request.param), organs), organs


def rows(path, epoch):
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["epoch"] == epoch]


def test_explain_repeats_what_the_callback_wrote_to_the_last_digit(trained, tmp_path):
    folder, organs = trained
    path = folder / "checkpoints" / "epoch_001.ckpt"
    known = describe(path)
    assert known["explain"]["activation"] == "sigmoid"
    assert known["network"]["out_channels"] == len(organs)
    network = from_checkpoint(path)
    assert network.channels == {name: Organ(k, k + 1) for k, name in enumerate(organs)}
    ran = run_script("explain.py", f"checkpoint={path}", "hydra.run.dir=out", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    theirs = rows(folder / "flow" / "measures.csv", "1")
    assert theirs
    assert rows(tmp_path / "out" / "measures.csv", "1") == theirs
    probes = network.slices(None, None, "val")
    found = explain_probes(*network.on(probes), epoch=1)
    assert torch.equal(found.record.flow.prediction, network.net(probes.images) > 0)


def test_a_network_of_ones_own_is_explained_behind_its_sigmoid(
    trained, tiny_raw, tmp_path, monkeypatch
):
    folder, organs = trained
    saved = torch.load(folder / "checkpoints" / "epoch_001.ckpt", weights_only=True)
    weights = {name.removeprefix("net."): value for name, value in saved["state_dict"].items()
               if name.startswith("net.")}  # fmt: skip
    torch.save(weights, tmp_path / "w.pth")
    (tmp_path / "own_sigmoid.py").write_text(
        "from monai.networks.nets import BasicUNet\n"
        "def build():\n"
        f"    return BasicUNet(2, 1, {len(organs)}, features=[8, 8, 16, 16, 32, 8], norm='batch')\n"
    )
    data = [one for one in tiny_data(tiny_raw) if one.startswith(("data=", "data.root", "data.sp"))]
    options = [*data, f"data.organs=[{','.join(organs)}]", "data.size=64", "probes.n=3",
               "net=own_sigmoid:build", "weights=w.pth", "data.cache_dir=cache"]  # fmt: skip
    # Of one channel the number tells.
    said = [] if len(organs) == 1 else ["model.activation=sigmoid"]
    ran = run_script("explain.py", *options, *said, "hydra.run.dir=out", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    found = rows(tmp_path / "out" / "measures.csv", "")
    theirs = rows(folder / "flow" / "measures.csv", "1")
    assert len(found) == len(theirs)
    for own, other in zip(found, theirs, strict=True):
        assert (own["organ"], own["stage"]) == (other["organ"], other["stage"])
        assert float(own["score"]) == pytest.approx(float(other["score"]), rel=1e-4, abs=1e-4)


@pytest.mark.long
def test_runs_are_compared_and_a_case_is_explained_slice_by_slice(trained, tiny_raw, tmp_path):
    folder, organs = trained
    again = train(tiny_raw, tmp_path, organs, "seed=1")
    ran = run_script("explain.py", f"runs=[{folder},{again}]", "hydra.run.dir=s", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    seeds = read_table(tmp_path / "s" / "seeds.csv")
    assert {row["organ"] for row in seeds} == set(organs)
    assert {row["runs"] for row in seeds} == {"2 runs"}
    data = [one for one in tiny_data(tiny_raw) if one.startswith(("data=", "data.root", "data.sp"))]
    path = folder / "checkpoints" / "epoch_001.ckpt"
    whole = ["study=volumes", "cases=['0027']", "rules=[grad_pam]", "stages=[dec4]", *data]
    ran = run_script("explain.py", f"checkpoint={path}", *whole, "data.cache_dir=cache",
                     "hydra.run.dir=v", cwd=tmp_path)  # fmt: skip
    assert ran.code == 0, ran.err[-3000:]
    case = tmp_path / "v" / "0027"
    shape = nibabel.load(next(tiny_raw.rglob("img0027.nii.gz"))).shape
    found = []
    for organ in organs:
        name = f"predictions/{organ}.nii.gz" if len(organs) > 1 else "prediction.nii.gz"
        prediction, maps = nibabel.load(case / name), list(case.glob(f"maps/*/{organ}/*.nii.gz"))
        assert prediction.shape == shape
        assert len(maps) == prediction.get_fdata().any()  # of what is not found there are none
        found += maps
    assert found
    assert {nibabel.load(one).shape for one in found} == {shape}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("model.activation=relu", "no model.activation 'relu'; allowed are softmax, sigmoid"),
        ("+model.size=3", "no option 'model.size'; allowed are model.activation, model.channels"),
        ("model.channels={liver:a}", "give each organ the number of its channel"),
        ("model.channels={liver:{channel:0}}", "{liver: {channel: 6, label: 6}}"),
        ("organs={a:{channel:0,label:1}}", "'model.channels={a: {channel: 0, label: 1}}'"),
        ("checkpoint=x.ckpt model.activation=sigmoid", "a checkpoint knows its activation"),
        ("checkpoint=x.ckpt model.channels={liver:2}", "a checkpoint knows its channels"),
    ],
)
def test_what_explain_cannot_be_told_of_an_activation_is_named(
    given, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("x.ckpt").touch()
    more = [] if "checkpoint" in given else ["net=a:b", "weights=w.pth", "data=phantom"]
    ran = answer_of("explain.py", *given.split(), *more, f"hydra.run.dir={tmp_path}/out")
    assert ran.code == 1
    assert message in ran.err
