"""A CT explained by a network of volumes: marker voxels in the file's own grid, and explain.py."""

import nibabel
import numpy as np
import pytest
import torch
from nibabel import orientations
from torch import nn

from helpers.scripts import answer_of
from segtrace.data.files.nifti import read_image
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.report.tables import read_table
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.volumes.predictions import save_prediction
from segtrace.studies.volumes.whole import explain_whole
from segtrace.tracking.explained import Settings

BUILDERS = """
import torch
from torch import nn

class Bright(nn.Module):
    '''Finds what is brighter than half of the window, voxel by voxel.'''

    def __init__(self):
        super().__init__()
        self.enc, self.head = nn.Conv3d(1, 1, 1, bias=False), nn.Conv3d(1, 2, 1)
        with torch.no_grad():
            self.enc.weight.fill_(1)
            self.head.weight[:, 0, 0, 0, 0] = torch.tensor([0.0, 40.0])
            self.head.bias.copy_(torch.tensor([20.0, 0.0]))

    def forward(self, x):
        return self.head(self.enc(x).relu())

build = Bright
flat = lambda: nn.Conv2d(1, 2, 1)
"""
MARKER = (3, 14, 5)
"""Of the stored axes."""


def ct(path, axcodes, tilt=0.0, spacing=(2.0, 3.0, 4.0)):
    """-100 HU, and one bright block of 2 x 2 x 2 voxels off every middle."""
    values = np.full((12, 20, 16), -100, np.int16)
    values[tuple(slice(at, at + 2) for at in MARKER)] = 200
    ornt = orientations.axcodes2ornt(axcodes)
    affine = orientations.inv_ornt_aff(ornt, values.shape) @ np.eye(4)
    affine[:3, :3] *= np.array(spacing)
    c, s = np.cos(tilt), np.sin(tilt)
    turn = np.eye(4)
    turn[:3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    nibabel.Nifti1Image(values, turn @ affine).to_filename(path)
    return values == 200


@pytest.mark.parametrize(
    ("axcodes", "tilt"), [("RAS", 0.0), ("LPS", 0.0), ("PIR", 0.0), ("RAS", 0.3)]
)
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0)])
def test_marker_voxels_lie_where_the_file_has_them(tmp_path, axcodes, tilt, spacing):
    there = ct(tmp_path / "ct.nii.gz", axcodes, tilt)
    names = {}
    exec(BUILDERS, names)
    pre = VolumePreprocessing((-100.0, 200.0), {"mark": 1}, spacing, (8, 12, 10))
    trained = TrainedNetwork("one", names["build"](), {"enc": "enc"}, {"mark": 1}, pre,
                             Settings(["grad_pam"], region="pred"))  # fmt: skip
    volume = read_image(tmp_path / "ct.nii.gz")
    _, found = explain_whole(trained, volume, tmp_path / "out")
    assert found.record.flow.prediction.any()
    file = nibabel.load(tmp_path / "ct.nii.gz")
    said = nibabel.load(tmp_path / "out/prediction.nii.gz")
    shown = nibabel.load(tmp_path / "out/maps/grad_pam/mark/mark_enc_grad_pam.nii.gz")
    np.testing.assert_allclose(said.affine, file.affine, atol=1e-5)
    np.testing.assert_allclose(shown.affine, file.affine, atol=1e-5)
    assert np.array_equal(said.get_fdata() == 1, there)
    values = shown.get_fdata()
    assert values[there].min() > 0.4  # linear between cells, so that it fades at the edge
    far = ~orientations_grown(there)
    assert values[far].max() == 0
    save_prediction(trained, tmp_path / "ct.nii.gz", tmp_path / "alone")
    assert (tmp_path / "alone/prediction.nii.gz").read_bytes() == (
        tmp_path / "out/prediction.nii.gz"
    ).read_bytes()
    # The planes that are shown lie as the affine says.
    affine = found.record.scene.affines[0].numpy()
    at = np.argwhere(found.record.flow.prediction[0].numpy() == 1).mean(0)
    middle = np.argwhere(there).mean(0)
    off = 1e-4 if spacing is None else 0.2  # mm: voxels of another size end elsewhere
    np.testing.assert_allclose(affine[0] @ [*at, 1], affine[1] @ [*middle, 1], atol=off)
    assert found.record.scene.axcodes == "SPL"


def orientations_grown(mask):
    """The mask and its neighbours, corners as well."""
    grown = mask.copy()
    for axis in range(3):
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    return grown


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_volumes.py").write_text(BUILDERS)
    names = {}
    exec(BUILDERS, names)
    torch.save(names["build"]().state_dict(), "w.pt")
    torch.save(nn.Conv2d(1, 2, 1).state_dict(), "flat.pt")
    (tmp_path / "stages.yaml").write_text("enc: enc\nhead: head\n")
    (tmp_path / "cts").mkdir()
    ct(tmp_path / "cts/one.nii.gz", "LPS")
    return tmp_path


OWN = (
    "net=own_volumes:build", "weights=w.pt", "stages=stages.yaml", "model.channels={mark: 1}",
    "preprocessing={patch: [8, 12, 10], spacing: [2, 3, 4], window: [-100, 200]}",
)  # fmt: skip


def test_explain_py_explains_a_ct_by_a_network_of_volumes(folder):
    done = answer_of("explain.py", *OWN, "image=cts/one.nii.gz", "hydra.run.dir=out")
    assert done.code == 0, done.err
    assert " windows of 10 x 12 x 8: about " in done.out
    assert "maps of 1 volume" in done.out
    assert all((folder / "out" / f"{name}.html").is_file()
               for name in ("index", "coronal", "sagittal"))  # fmt: skip
    assert {row["organ"] for row in read_table(folder / "out/measures.csv")} == {"mark"}
    done = answer_of("explain.py", *OWN, "image=cts", "hydra.run.dir=all")
    assert done.code == 0, done.err
    said = nibabel.load(folder / "all/one/prediction.nii.gz").get_fdata()
    assert np.array_equal(said == 1, nibabel.load("cts/one.nii.gz").get_fdata() == 200)
    whole = answer_of("explain.py", *OWN, "image=cts/one.nii.gz", "volume=true",
                      "hydra.run.dir=whole")  # fmt: skip
    assert whole.code == 0, whole.err
    assert (folder / "whole/one/maps/grad_pam/mark/mark_enc_grad_pam.nii.gz").is_file()
    assert "window by window" in (folder / "whole/index.html").read_text()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["study=sanity"], "this study explains slices, and this network takes volumes"),
        (["data=phantom"], "a network of volumes of your own explains image=any_ct.nii.gz"),
        (["model.channels=null"], "'model.channels={liver: 6, spleen: 1}'"),
        (["model.channels={mark: 2}"], "the network has channels 0 to 1"),
        (
            ["preprocessing.patch=[8, 12]"],
            "preprocessing.patch=[8, 12]; give three whole numbers of voxels, left-right",
        ),
        (
            ["preprocessing.spacing=[1, 0, 1]"],
            "preprocessing.spacing=[1.0, 0.0, 1.0]; give three sizes in mm",
        ),
        (["+preprocessing.overlap=1"], "preprocessing.overlap=1.0; give a share of a patch"),
        (["+preprocessing.percentile=[1, 99]"], "each window's own"),
        (["+preprocessing.patches=3"], "preprocessing.patch"),
        (["net=own_volumes:flat", "weights=flat.pt"], "it takes slices; leave preprocessing.patch"),
    ],
)
def test_what_does_not_fit_a_network_of_volumes_is_one_line(folder, asked, said):
    typed = {one.partition("=")[0]: one for one in (*OWN, "image=cts/one.nii.gz", *asked)}
    done = answer_of("explain.py", *typed.values(), "hydra.run.dir=out")
    assert done.code == 1
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
