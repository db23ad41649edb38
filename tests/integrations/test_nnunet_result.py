import json
import os

import nibabel
import numpy as np
import pytest
import torch

from helpers.nnunet_results import DATASET, install, plans, write
from helpers.raw_layout import AFFINES
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.integrations.nnunet.result import read_result
from segtrace.progress import counted
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table


@pytest.fixture(autouse=True)
def _networks_of_nnunet(monkeypatch):
    install(monkeypatch)


@pytest.fixture
def image(tmp_path):
    """A 20 x 30 x 4 CT of 2 mm, whose first columns are 0 and are cropped."""
    values = np.random.default_rng(0).integers(-90, 190, (20, 30, 4)).astype(np.int16)
    values[:3] = 0
    path = tmp_path / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), path)
    return path


def test_a_result_folder_gives_the_network_and_its_labels(tmp_path):
    net = write(tmp_path / "r")
    found = read_result(tmp_path / "r", 0)
    assert list(found.organs) == ["spleen", "liver"]
    assert found.patch == (16, 24)
    for name, value in net.state_dict().items():
        assert torch.equal(found.net.state_dict()[name], value)


def test_of_a_training_that_goes_on_what_it_saved_is_explained(tmp_path):
    write(tmp_path)
    final = tmp_path / "fold_0" / "checkpoint_final.pth"
    latest = final.rename(final.with_name("checkpoint_latest.pth"))
    assert "checkpoint_latest.pth is explained, the epoch" in read_result(tmp_path).notes[0]
    latest.rename(final.with_name("checkpoint_best.pth"))
    assert "checkpoint_best.pth is explained, its best" in read_result(tmp_path).notes[0]


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_what_is_not_there_or_not_nnunets_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_result(tmp_path / "none")
    write(tmp_path / "r")
    with pytest.raises(InputError, match=r"fold=3: .* has folds 0"):
        read_result(tmp_path / "r", 3)
    for near in (tmp_path, tmp_path / "r" / "fold_0"):
        with pytest.raises(InputError, match=r"holds no plans.json; name .*r$"):
            read_result(near)
    (tmp_path / "r" / "plans.json").write_text("{")
    with pytest.raises(InputError, match=r"plans.json is no JSON"):
        read_result(tmp_path / "r")
    write(tmp_path / "r", configuration="../../etc")
    with pytest.raises(InputError, match=r"no configuration '../../etc'"):
        read_result(tmp_path / "r")
    write(tmp_path / "r", logging=_Evil())
    with pytest.raises(InputError, match="holds code"):
        read_result(tmp_path / "r")
    assert not (tmp_path / "evil").exists()
    other = write(tmp_path / "r").state_dict() | {"decoder.more": torch.zeros(1)}
    write(tmp_path / "r", network_weights=other)
    with pytest.raises(InputError, match="1 unexpected"):
        read_result(tmp_path / "r")


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "oblique"])
@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIOWithReorient"])
def test_a_marked_voxel_lies_where_the_file_has_it_and_comes_back(tmp_path, axes, reader):
    rows = 6.0 if (axes, reader) == ("PIR", "SimpleITKIO") else 5.0
    same = plans(spacing=[rows, 5.0]) | {"image_reader_writer": reader}
    write(tmp_path / "r", same)
    values = np.full((9, 10, 8), 10, np.int16)
    values[0] = 0
    values[4, 6, 2] = 150
    nibabel.save(nibabel.Nifti1Image(values, AFFINES[axes]), tmp_path / "ct.nii.gz")
    found = read_result(tmp_path / "r")
    case = found.read(tmp_path / "ct.nii.gz")
    (spot,) = np.argwhere(case.image[0].numpy() == case.image.max().item())
    assert np.allclose(case.affine @ [*spot, 1], AFFINES[axes] @ [4, 6, 2, 1], atol=1e-4)
    back = case.back(case.image[0].numpy())
    assert np.array_equal(np.argwhere(back == back.max()), [[4, 6, 2]])
    assert np.isneginf(back[0]).all()
    assert np.isfinite(back[1:]).all()


def test_explain_writes_maps_prediction_and_page_on_the_files_grid(tmp_path, image, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r")
    ran = answer_of("explain.py", "nnunet=r", "image=ct.nii.gz", "probes.n=3",
                    "stages=[enc2,head]", "hydra.run.dir=out")  # fmt: skip
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    assert (out / "index.html").is_file()
    record = load_maps(out / "maps.npz")
    assert record.flow.stages == ("enc2", "head")
    assert 0 <= float(np.quantile(record.scene.image, 0.1)) <= 1
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["configuration"] == "2d"
    prediction = nibabel.load(out / "prediction.nii.gz")
    foreign = read_result(tmp_path / "r")
    case = foreign.read(image)
    logits = foreign.logits(case)
    assert prediction.shape == (20, 30, 4)
    assert np.array_equal(prediction.affine, nibabel.load(image).affine)
    inner = np.asarray(prediction.dataobj)[3:]  # no resampling: the labels of the logits
    assert np.array_equal(inner, logits.argmax(0).numpy().transpose(2, 1, 0))
    assert not np.asarray(prediction.dataobj)[:3].any()
    for row in read_table(out / "maps.csv"):
        stored = nibabel.load(out / row["file"])
        values = np.asarray(stored.dataobj)
        assert stored.shape == (20, 30, 4)
        assert values.max() == 1 if row["stage"] == "head" else 0.5 < values.max() <= 1


def test_a_map_of_the_head_lies_on_its_own_voxels(tmp_path, image, capsys):
    """Against a slow loop: of a stage at full size, each voxel is the map's value there."""
    write(tmp_path / "r", plans(patch_size=[32, 16]))
    foreign = read_result(tmp_path / "r")
    from segtrace.integrations.on_file import save_windows
    from segtrace.tracking.explained import Settings, explain_probes

    case = foreign.read(image)
    probes = foreign.windows(case, foreign.logits(case), 4)
    settings = Settings(["grad_pam"], region="pred", stages=["head"], activation="softmax")
    record = explain_probes(foreign.net, None, probes, foreign.organs, settings).record
    flow = record.flow
    flow.status[:, :, flow.organs.index("spleen")] = Status.ABSENT
    save_windows(tmp_path / "out", record)
    written = counted(len([*(tmp_path / "out/maps").iterdir()]), "map")
    assert f"Writing {written} on the image's voxels" in capsys.readouterr().out
    expected = np.zeros((20, 30, 4))
    organ = record.flow.organs.index("liver")
    for n in range(len(probes)):
        values = record.flow.maps["head"][0, organ, n].clamp(min=0).numpy()
        to_file = np.linalg.inv(probes.affines[n, 1].numpy()) @ probes.affines[n, 0].numpy()
        for row in range(32):
            for column in range(16):
                i, j, k = np.rint(to_file @ [0, row, column, 1])[:3].astype(int)
                if 0 <= i < 20 and 0 <= j < 30:
                    expected[i, j, k] = max(expected[i, j, k], values[row, column])
    found = np.asarray(nibabel.load(tmp_path / "out/maps/liver_head_grad_pam.nii.gz").dataobj)
    assert expected.max() > 0
    assert np.allclose(found, expected / expected.max(), atol=1e-4)


def test_overlapping_regions_are_a_sigmoid_and_written_one_by_one(tmp_path, image, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = {"background": 0, "whole": [1, 2], "core": [2], "rim": [1]}
    write(tmp_path / "r", dataset=DATASET | {"labels": labels, "regions_class_order": [1, 2, 3]})
    ran = answer_of("explain.py", "nnunet=r", "image=ct.nii.gz", "probes.n=2", "hydra.run.dir=out")
    assert ran.code == 0, ran.err
    foreign = read_result(tmp_path / "r")
    masks = foreign.masks(foreign.read(image), foreign.logits(foreign.read(image)))
    whole = nibabel.load(tmp_path / "out/predictions/core.nii.gz")
    assert np.array_equal(np.asarray(whole.dataobj) == 2, masks["core"])
    last = np.asarray(nibabel.load(tmp_path / "out/prediction.nii.gz").dataobj)
    assert np.array_equal(last == 3, masks["rim"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["weights=w.pt"], "leave weights out"),
        (["checkpoint=a.ckpt"], "leave checkpoint out"),
        (["bundle=b"], "leave bundle out"),
        (["model.activation=sigmoid"], "nnunet knows its activation"),
        (["study=sanity"], "explained by maps alone"),
        (["cut=zero"], "explained by maps alone"),
        (["explainer=rise"], "leave explainer out"),
        (["stages=s.yaml"], "nnunet knows its stages"),
        (["probes.n=3"], "say which image"),
        (["image=r"], "name one file of the folder"),
        (["fold=best"], "fold='best'; give its number, or all"),
        ([], "say which image: image=ct.nii.gz"),
    ],
)
def test_options_that_do_not_go_with_it_are_refused(tmp_path, monkeypatch, more, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r")
    ran = answer_of("explain.py", "nnunet=r", *more)
    assert ran.code == 1
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    alone = answer_of("explain.py", "fold=1", "net=a:b")
    assert "fold=1 is of nnunet=FOLDER" in alone.err


def test_what_a_training_was_watched_on_is_explained_without_an_image(tmp_path, monkeypatch, image):
    from segtrace.integrations.nnunet.watching import save_plain

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r")
    foreign = read_result(tmp_path / "r")
    case = foreign.read(image)
    probes = foreign.windows(case, foreign.logits(case), 2)
    save_plain(tmp_path / "r/fold_0/flow/probes.pt", probes.to_plain())
    ran = answer_of("explain.py", "nnunet=r", "region=pred", "hydra.run.dir=out")
    assert ran.code == 0, ran.err
    assert torch.equal(load_maps(tmp_path / "out/maps.npz").scene.image, probes.shown)
