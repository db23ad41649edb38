"""NIfTI files on the grid of an image say what they hold, and hold it exactly."""

import gzip
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header

from helpers.raw_layout import AFFINES
from segtrace.data.files.nifti import PHANTOM_MARK, read_image
from segtrace.report.volumes.nifti import STEPS
from segtrace.studies.volumes.nifti import save_labels, save_maps


@pytest.fixture
def image(tmp_path):
    nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), AFFINES["PIR"]).to_filename(
        tmp_path / "scan.nii"
    )
    return read_image(tmp_path / "scan.nii")


def test_labels_name_the_file_of_their_names(image, tmp_path):
    labels = np.arange(120, dtype=np.uint8).reshape(4, 5, 6)
    save_labels(tmp_path / "p.nii.gz", labels, image, ": prediction", "labels_itksnap.txt")
    found = nibabel.load(tmp_path / "p.nii.gz")
    assert found.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(found.dataobj), labels)
    np.testing.assert_array_equal(found.affine, AFFINES["PIR"])
    assert found.header.get_intent()[0] == "label"
    assert found.header["aux_file"].item() == b"labels_itksnap.txt"
    assert found.header["descrip"].item() == b"segtrace: prediction"
    raw = Nifti1Header(gzip.decompress((tmp_path / "p.nii.gz").read_bytes())[:348])
    assert raw.get_slope_inter() == (1, 0)  # a viewer does not guess


@pytest.mark.parametrize("stages", [(), ("a", "\x1b[31mb", "c")])
def test_maps_come_back_within_half_a_step(stages, image, tmp_path):
    shape = (*image.grid.shape, *((3,) if stages else ()))
    values = np.random.default_rng(0).random(shape, np.float32)
    values.flat[:2] = (0, 1)
    maps = np.moveaxis(values, -1, 0) if stages else [values]
    save_maps(tmp_path / "m.nii.gz", maps, image, ": liver dec5 grad_pam", stages)
    found = nibabel.load(tmp_path / "m.nii.gz")
    assert found.shape == shape
    assert found.get_fdata().ravel()[:2].tolist() == [0, 1]
    np.testing.assert_allclose(found.get_fdata(), values, atol=0.5 / STEPS)
    assert (float(found.header["cal_min"]), float(found.header["cal_max"])) == (0, 1)
    told = [extension.get_content().decode() for extension in found.header.extensions]
    assert told == (["0 a\n1 \\x1b[31mb\n2 c"] if stages else [])


def test_a_description_is_cut_between_letters_and_known_as_a_phantoms(image, tmp_path):
    words = ", network of a phantom: " + "ä" * 60
    save_maps(tmp_path / "m.nii.gz", [np.zeros((4, 5, 6), np.float32)], image, words)
    told = nibabel.load(tmp_path / "m.nii.gz").header["descrip"].item()
    assert len(told) in (78, 79)
    assert told.decode() == f"segtrace{words}"[: len(told.decode())]
    phantom = replace(image, phantom=True)
    save_maps(tmp_path / "p.nii.gz", [np.zeros((4, 5, 6), np.float32)], phantom, ": liver")
    assert (
        nibabel.load(tmp_path / "p.nii.gz").header["descrip"].item() == b"segtrace phantom: liver"
    )
    assert read_image(tmp_path / "p.nii.gz").phantom
    assert f"{PHANTOM_MARK}: liver" == "segtrace phantom: liver"


def test_equal_maps_make_equal_files(image, tmp_path):
    for name in ("a", "b"):
        save_maps(tmp_path / f"{name}.nii.gz", [np.ones((4, 5, 6), np.float32)], image, "")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
