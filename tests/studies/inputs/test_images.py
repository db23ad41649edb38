"""Which images explain.py explains: those that were asked for, and nothing is left aside."""

import json

import numpy as np
import pytest
import torch

from helpers.pages import read_page
from helpers.raw_layout import AFFINES, write_case
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.report.files import load_maps
from segtrace.studies.inputs.cautions import OTHER_VALUES
from segtrace.studies.inputs.images import Images
from segtrace.studies.inputs.trained_network import from_checkpoint

PROBES = {"n": None, "from": None}


def write_livers(root, values):
    """Two cases in which the liver alone is labelled, as 17; values from outside and inside."""
    x, y, _ = np.indices((64, 64, 6))
    body = (x - 32) ** 2 + (y - 32) ** 2 < 28**2
    label = np.where((x > 8) & (x < 30) & (y > 20) & (y < 40), 17, 0)
    outside, inside = values
    for case in ("0027", "b"):
        write_case(root, case, np.where(body, inside + x, outside - x), label, AFFINES["LAS"])
    return root


@pytest.fixture(scope="module")
def liver(tmp_path_factory):
    return write_livers(tmp_path_factory.mktemp("liver"), (-900, 0))


@pytest.fixture(scope="module")
def mr(tmp_path_factory):
    """The same in other units than HU."""
    return write_livers(tmp_path_factory.mktemp("mr"), (70, 500))


def node(root, **options):
    return {
        "_target_": "segtrace.data.modules.NiftiData",
        "root": str(root),
        "labels": {"Liver": 17},
        "split": {"train": ["b"], "val": ["0027"]},
        "cache_dir": str(root / "cache"),
        **options,
    }


def asked(run, data=None, probes=PROBES, **config):
    return of_checkpoint(run.checkpoint(2), {"probes": probes, "data": data} | config)


def of_checkpoint(path, options):
    options = {"image": None, "organs": None} | options

    def load():
        return from_checkpoint(path)

    return Images(options, "slices", (path,), load, load)


def test_a_checkpoint_alone_brings_its_slices_and_its_cases(run):
    trained = from_checkpoint(run.checkpoint(2))
    slices = asked(run)
    assert slices.slices.hash == trained.probes["hash"]
    assert slices.fit(trained) is trained


def test_every_case_that_is_named_is_there_before_one_is_read(run, liver, monkeypatch):
    images = asked(run, node(liver))
    monkeypatch.setattr(type(images.module.source), "load", lambda *_: pytest.fail("one is read"))
    with pytest.raises(InputError, match="no case 'c'; this data set has 0027, b"):
        next(images.volumes(["b", "c"]))


def test_another_data_set_is_what_is_explained(run, liver):
    trained = from_checkpoint(run.checkpoint(2))
    slices = asked(run, node(liver), {"n": 1, "from": "train"})
    probes = slices.slices
    assert (probes.cases, probes.split, len(probes)) == (("b",), "train", 1)
    assert set(probes.labels.unique().tolist()) == {0, trained.channels["liver"]}
    assert probes.images.shape[2:] == (64, 64)
    assert asked(run, node(liver)).slices.cases == ("0027",) * 6  # all that show the liver


def test_its_cases_are_not_taken_for_the_checkpoints_own_of_the_same_name(run, liver):
    trained = from_checkpoint(run.checkpoint(2))
    assert np.isfinite(trained.whole.table("truth_ml", ["liver"], ["0027"])).all()
    fitted = asked(run, node(liver)).fit(trained)
    assert np.isnan(fitted.whole.table("truth_ml", ["liver"], ["0027"])).all()
    assert fitted.settings.organs == ["liver"]
    assert fitted.channels == trained.channels


def without_images(run, folder):
    saved = torch.load(run.checkpoint(2), weights_only=True)
    for key in ("images", "labels", "originals"):
        del saved["segtrace"]["probes"][key]
    torch.save(saved, folder / "epoch_002.ckpt")
    return folder / "epoch_002.ckpt"


def raw(tiny_raw, tmp_path):
    return {
        "_target_": "segtrace.data.modules.SynapseData",
        "root": str(tiny_raw),
        "split": {"train": ["0005"], "val": ["0027"], "test": ["0001"]},
        "cache_dir": str(tmp_path / "cache"),
    }


def test_slices_that_are_known_by_name_are_read_again_unless_others_are_asked_for(
    run, tiny_raw, liver, tmp_path
):
    path = without_images(run, tmp_path)
    trained = from_checkpoint(path)
    again = of_checkpoint(path, asked(run, raw(tiny_raw, tmp_path)).options)
    assert again.slices.hash == trained.probes["hash"]
    assert again.fit(trained) is trained
    options = asked(run, raw(tiny_raw, tmp_path), {"n": 2, "from": "test"}).options
    others = of_checkpoint(path, options).slices
    assert set(others.cases) == {"0001"}
    elsewhere = of_checkpoint(path, asked(run, node(liver)).options)
    with pytest.raises(InputError, match=r"0027.*or, for slices of these data, say probes.n=8"):
        _ = elsewhere.slices
    with pytest.raises(InputError, match="give the data set"):
        _ = of_checkpoint(path, asked(run).options).slices


def test_organs_without_labels_and_values_that_are_no_hu_are_told_everywhere(
    run, mr, tmp_path, monkeypatch
):
    """In terminal, manifest and page: the script itself, with and without volumes."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    given = (
        f"checkpoint={run.checkpoint(2)}", "data=nifti", f"data.root={mr}",
        "data.labels={Liver: 17}", "data.split={train: [b], val: ['0027']}", "rules=grad_pam",
        "stages=[dec4]", f"data.cache_dir={mr}/cache",
    )  # fmt: skip
    slices = answer_of("explain.py", *given, "probes.n=1", "hydra.run.dir=slices")
    volumes = answer_of(
        "explain.py", *given, "cases=[b]", "region=gt", "trainer.enable_progress_bar=false",
        "trainer.accelerator=cpu", "hydra.run.dir=volumes",
    )  # fmt: skip
    torch.set_num_threads(threads)
    for ran, folder in ((slices, "slices"), (volumes, "volumes/b")):
        assert ran.code == 0, ran.err
        assert "no labels of them: spleen, left_kidney, stomach" in ran.out
        assert f"Caution: {OTHER_VALUES}." in ran.out
        manifest = json.loads((tmp_path / folder / "manifest.json").read_text())
        assert manifest["organs_left_out"] == ["spleen", "left_kidney", "stomach"]
        assert manifest["cautions"][-1] == OTHER_VALUES
        assert any("its values run from 7 to" in line for line in manifest["cautions"])
    assert load_maps(tmp_path / "slices" / "maps.npz").flow.organs == ("liver",)
    shown = read_page(tmp_path / "slices" / "index.html")["slice_cautions"]
    assert shown == json.loads((tmp_path / "slices" / "manifest.json").read_text())["cautions"]
    assert (tmp_path / "volumes" / "b" / "maps/grad_pam/liver/liver_dec4_grad_pam.nii.gz").is_file()
