"""Whole volumes come back in the source image's own grid, whatever its orientation."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from helpers.raw_layout import AFFINES, to_stored
from helpers.scripts import run_script
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.data.files.geometry import Grid
from segtrace.data.files.nifti import Volume, read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.names import file_name
from segtrace.report.tables import read_table
from segtrace.studies.inputs.new_image import probes_of_image
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.tracing import VolumeSlices, explain_volume
from segtrace.tracking.explained import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)


class Threshold(nn.Module):
    """Calls bright pixels the organ: its logit is the stage's only channel that matters."""

    def __init__(self):
        super().__init__()
        self.blurred = nn.AvgPool2d(2)
        self.logits = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.logits.weight.copy_(torch.tensor([0.0, 10.0]).view(2, 1, 1, 1))
            self.logits.bias.copy_(torch.tensor([0.0, -6.0]))

    def forward(self, x):
        return self.logits(nn.functional.interpolate(self.blurred(x), scale_factor=2))


STAGES = ("enc1", "head")
FILE = "seg_grad_cam/marker/marker_{}_seg_grad_cam"


def trained(**settings):
    return TrainedNetwork(
        name="threshold",
        net=Threshold().eval(),
        stages={"enc1": "blurred", "head": "logits"},
        channels={"marker": 1},
        preprocessing=Preprocessing((-125.0, 275.0), 48, {"marker": 1}),
        settings=Settings(rules=["seg_grad_cam"], region="pred", **settings),
    )


def trainer(**options):
    return pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
                      enable_model_summary=False, enable_progress_bar=False, **options)  # fmt: skip


def write_marker(path, axes):
    """A bright block off every axis of symmetry, in a volume that is longer than wide."""
    lps = np.full((40, 48, 11), -1000.0)
    lps[6:36, 4:44] = 0
    lps[10:18, 8:14, 6:9] = 300
    stored = to_stored(lps, AFFINES[axes]).astype(np.int16)
    nibabel.Nifti1Image(stored, AFFINES[axes]).to_filename(path)
    return stored == 300


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "PIR", "oblique"])
def test_a_marker_sent_through_the_whole_path_comes_back_in_place(axes, tmp_path):
    marker = write_marker(tmp_path / "scan.nii.gz", axes)
    explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    for name in ("prediction", *(f"maps/{FILE.format(stage)}" for stage in STAGES)):
        found = nibabel.load(tmp_path / "out" / f"{name}.nii.gz")
        np.testing.assert_allclose(found.affine, AFFINES[axes], atol=1e-4)
        values = found.get_fdata()
        assert values.shape == marker.shape
        bright = values > values.max() / 2
        overlap = 2 * (bright & marker).sum() / (bright.sum() + marker.sum())
        assert overlap > 0.85, (name, overlap)
        centres = [np.argwhere(mask).mean(0) for mask in (bright, marker)]
        np.testing.assert_allclose(*centres, atol=0.5)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "oblique"])
def test_a_file_an_organ_holds_the_files_of_its_stages_to_the_bit(axes, tmp_path):
    write_marker(tmp_path / "scan.nii.gz", axes)
    source = nibabel.load(tmp_path / "scan.nii.gz")
    for folder, together in (("apart", False), ("together", True)):
        explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / folder, trainer,
                       one_file_an_organ=together)  # fmt: skip
    (path,) = (tmp_path / "together" / "maps").rglob("*.nii.gz")
    assert path.relative_to(tmp_path).as_posix() == (
        "together/maps/seg_grad_cam/marker_seg_grad_cam.nii.gz"
    )
    many = nibabel.load(path)
    assert many.shape == (*source.shape, len(STAGES))
    np.testing.assert_array_equal(many.affine, source.affine)
    assert many.header.get_zooms() == (*source.header.get_zooms(), 1)
    (names,) = many.header.extensions
    assert names.get_content().decode() == "0 enc1\n1 head"
    for n, stage in enumerate(STAGES):
        one = nibabel.load(tmp_path / "apart" / "maps" / f"{FILE.format(stage)}.nii.gz")
        np.testing.assert_array_equal(one.affine, source.affine)
        assert one.shape == source.shape
        assert one.dataobj.slope == many.dataobj.slope
        stored = one.dataobj.get_unscaled()
        np.testing.assert_array_equal(many.dataobj.get_unscaled()[..., n], stored)
        assert np.ptp(stored)
    rows = read_table(tmp_path / "together" / "maps.csv")
    assert [(row["stage"], row["volume"]) for row in rows] == [("enc1", "0"), ("head", "1")]
    apart = read_table(tmp_path / "apart" / "maps.csv")
    assert [row["largest"] for row in rows] == [row["largest"] for row in apart]


@pytest.mark.parametrize(
    ("codes", "unit"), [((0, 0), "mm"), ((2, 0), "micron"), ((0, 1), "mm"), ((3, 1), "mm")]
)
def test_of_the_place_the_same_is_said_as_of_the_image(codes, unit, tmp_path):
    write_marker(tmp_path / "scan.nii", "LPS")
    scan = nibabel.load(tmp_path / "scan.nii")
    apart = AFFINES["LPS"].copy()
    apart[:3, 3] += 7  # a viewer may go by either
    scan.set_sform(AFFINES["LPS"] if codes[0] else None, codes[0])
    scan.set_qform(apart if codes[1] else None, codes[1])
    scan.header.set_xyzt_units(unit)
    scan.to_filename(tmp_path / "scan.nii.gz")
    explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    source = nibabel.load(tmp_path / "scan.nii.gz")
    for path in (tmp_path / "out").rglob("*.nii.gz"):
        header = nibabel.load(path).header
        assert (int(header["sform_code"]), int(header["qform_code"])) == codes
        for form in ("get_sform", "get_qform"):
            found, said = (getattr(one, form)(coded=True) for one in (header, source.header))
            np.testing.assert_array_equal(found[0], said[0])
        assert header.get_xyzt_units()[0] == unit
        np.testing.assert_array_equal(nibabel.load(path).affine, source.affine)
        np.testing.assert_array_equal(header.get_zooms(), source.header.get_zooms())


def test_slices_of_a_volume_know_their_sides_where_the_file_does(tmp_path):
    for affine, known in ((AFFINES["LPS"], True), (None, False)):
        one = volume(affine)
        images, geometry = trained().preprocessing.images(one)
        assert VolumeSlices(one, images, None, geometry).probes([1]).sides_known is known
    write_marker(tmp_path / "scan.nii.gz", "PIR")
    network = trained()
    probes = probes_of_image(tmp_path / "scan.nii.gz", network, 1)
    assert probes.sides_known


class Thresholds(Threshold):
    """Two organs behind a sigmoid, the second of which lies in the first."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.logits.weight.copy_(torch.tensor([10.0, 10.0]).view(2, 1, 1, 1))
            self.logits.bias.copy_(torch.tensor([-2.0, -6.0]))


def test_organs_that_overlap_have_each_a_prediction_of_its_own(tmp_path):
    marker = write_marker(tmp_path / "scan.nii.gz", "PIR")
    organs = {"body": Organ(0, 7), "marker": Organ(1, 4)}
    network = replace(
        trained(activation="sigmoid"), net=Thresholds().eval(), channels=organs,
        preprocessing=Preprocessing((-125.0, 275.0), 48, {"body": 7, "marker": 4}),
    )  # fmt: skip
    explain_volume(network, read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    read = {
        path.relative_to(tmp_path / "out").as_posix(): nibabel.load(path).get_fdata()
        for path in (tmp_path / "out").rglob("predict*/*.nii.gz")
    }
    assert set(read) == {"predictions/body.nii.gz", "predictions/marker.nii.gz"}
    body, own = read["predictions/body.nii.gz"] == 7, read["predictions/marker.nii.gz"] == 4
    assert 2 * (own & marker).sum() / (own.sum() + marker.sum()) > 0.85
    assert own.sum() == (own & body).sum() > 0
    together = nibabel.load(tmp_path / "out" / "prediction.nii.gz").get_fdata()
    np.testing.assert_array_equal(together, np.where(own, 4, np.where(body, 7, 0)))
    assert "predictions/" in (tmp_path / "out" / "README.txt").read_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["labels"] == {"body": 7, "marker": 4}
    probes = probes_of_image(tmp_path / "scan.nii.gz", network, 2)
    assert probes.labels is None


def test_every_slice_stands_in_the_table_with_its_status(tmp_path):
    write_marker(tmp_path / "scan.nii.gz", "LPS")
    explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    rows = read_table(tmp_path / "out" / "slices.csv")
    assert [int(row["slice"]) for row in rows if row["stage"] == "head"] == list(range(11))
    there = {int(row["slice"]) for row in rows if row["status"] != "absent"}
    assert there == {6, 7, 8}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.txt", "labels_itksnap.txt", "labels_slicer.ctbl", "manifest.json", "maps",
        "maps.csv", "prediction.nii.gz", "slices.csv"}  # fmt: skip


def test_a_map_is_the_share_of_its_largest_value_that_the_table_has(tmp_path):
    write_marker(tmp_path / "scan.nii.gz", "LPS")
    explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    rows = read_table(tmp_path / "out" / "maps.csv")
    assert [row["stage"] for row in rows] == list(STAGES)
    for row in rows:
        values = nibabel.load(tmp_path / "out" / row["file"]).get_fdata()
        assert 0.9 < values.max() <= 1
        assert values.min() == 0
        assert float(row["largest"]) > 0


def volume(affine=None, value=0.0):
    image = np.full((3, 48, 48), value, np.float32)
    grid = Grid((48, 48, 3)) if affine is None else Grid.from_affine((48, 48, 3), affine, "x")
    return Volume("case", image, None, grid, "x.npz")


def test_a_volume_without_an_affine_is_refused_with_the_reason(tmp_path):
    with pytest.raises(InputError, match="npz and h5 files hold no affine"):
        explain_volume(trained(), volume(), tmp_path / "out", trainer)
    assert not (tmp_path / "out").exists()


def never(**_):
    raise AssertionError("the volume is explained")


@pytest.mark.parametrize("region", ["pred", "gt"])
def test_an_image_without_any_organ_is_refused_before_it_is_explained(region, tmp_path):
    network = trained()
    network = replace(network, settings=replace(network.settings, region=region))
    empty = volume(AFFINES["LPS"])
    empty = replace(empty, label=np.zeros(empty.image.shape, np.uint8))
    with pytest.raises(InputError, match=r"none of the organs \(marker\) in any slice") as caught:
        explain_volume(network, empty, tmp_path / "out", never, {"marker": 1})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_organ_between_the_slices_of_the_sample_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("segtrace.studies.volumes.tracing.SAMPLE", 1)
    image = volume(AFFINES["LPS"]).image
    image[2, 10:20, 10:20] = 300
    with pytest.raises(AssertionError, match="the volume is explained"):
        explain_volume(
            trained(), replace(volume(AFFINES["LPS"]), image=image), tmp_path / "out", never
        )


def test_maps_for_which_the_disk_has_no_room_are_refused_before_the_work(tmp_path, monkeypatch):
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(InputError, match=r"2 maps may take .* of disk, and .*; name fewer"):
        explain_volume(trained(), volume(AFFINES["LPS"]), tmp_path / "out", trainer)


def test_what_is_coming_is_said_before_it_is_made(tmp_path, capsys):
    write_marker(tmp_path / "scan.nii.gz", "LPS")
    explain_volume(trained(), read_image(tmp_path / "scan.nii.gz"), tmp_path / "out", trainer)
    told = [line for line in capsys.readouterr().out.splitlines() if "maps" in line][-1]
    assert re.fullmatch(
        r".* 11 slices, 2 maps \(2 stages x 1 organs x 1 rules\): about \d+ s and [\d.]+ [KM]iB "
        r".*out",
        told,
    )


def test_cases_of_a_data_set_are_explained_whole_by_the_script(run, tiny_raw, tmp_path):
    ran = run_script(
        "explain.py",
        f"checkpoint={run.checkpoint(2)}",
        "cases=['0027','0001']",
        "region=gt",
        "stages=[dec4]",
        "organs=[liver,spleen]",
        "rules=[grad_pam]",
        "data=synapse",
        f"data.root={tiny_raw}",
        "data.split={train: ['0005'], val: ['0027']}",
        "data.organs=[spleen,left_kidney,liver,stomach]",
        "data.size=64",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    page = (tmp_path / "out" / "index.html").read_text()
    for case in ("0027", "0001"):
        assert f"Whole volume: case {case}, epoch_002" in page
        source = nibabel.load(tiny_raw / "img" / f"img{case}.nii.gz")
        maps = nibabel.load(
            tmp_path / "out" / case / "maps/grad_pam/liver" / "liver_dec4_grad_pam.nii.gz"
        )
        assert maps.shape == source.shape
        np.testing.assert_allclose(maps.affine, source.affine, atol=1e-4)


def test_names_of_stages_and_organs_stay_inside_the_folder(tmp_path):
    write_marker(tmp_path / "scan.nii.gz", "LPS")
    net = replace(
        trained(),
        stages={"../../enc1": "blurred", "head": "logits"},
        channels={"/marker": 1},
        preprocessing=Preprocessing((-125.0, 275.0), 48, {"/marker": 1}),
    )
    explain_volume(net, read_image(tmp_path / "scan.nii.gz"), tmp_path / "in" / "out", trainer)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.nii.gz")}
    organ = f"in/out/maps/seg_grad_cam/{file_name('/marker')}"
    names = (f"/marker_{stage}_seg_grad_cam" for stage in ("../../enc1", "head"))
    maps = {f"{organ}/{file_name(name)}.nii.gz" for name in names}
    assert found == {"scan.nii.gz", "in/out/prediction.nii.gz", *maps}
    assert {row["organ"] for row in read_table(tmp_path / "in/out/slices.csv")} == {"/marker"}


def test_the_name_of_an_image_is_shown_and_not_obeyed(tmp_path):
    path = tmp_path / "red\x1b[31m.nii.gz"
    write_marker(path, "LPS")
    assert read_image(path).name == r"red\x1b[31m"
