import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel import orientations

from helpers.raw_layout import AFFINES, write_case
from segtrace.data.files.nifti import read_image, read_volume
from segtrace.errors import InputError


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINES["LAS"]) -> Path:
    nibabel.Nifti1Image(values, affine).to_filename(path)
    return path


def shifted(mm: float) -> np.ndarray:
    affine = AFFINES["LAS"].copy()
    affine[0, 3] += mm
    return affine


def turned(degrees: float) -> np.ndarray:
    angle, turn = np.deg2rad(degrees), np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINES["LAS"]


@pytest.fixture
def image(tmp_path):
    return save(tmp_path / "img0001.nii.gz", np.full((6, 5, 4), -100, dtype=np.int16))


def test_an_image_without_label_keeps_hu_and_grid(image):
    volume = read_image(image)
    assert volume.name == "img0001"
    assert volume.label is None
    assert volume.image.shape == (4, 5, 6)
    assert (volume.image == -100).all()
    assert volume.grid.spacing == (5, 5, 6)
    assert volume.grid.sides_known
    assert not volume.phantom


def test_scaled_values_are_read_in_hu(tmp_path):
    file = nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype=np.int16), np.eye(4))
    file.header.set_slope_inter(2, -1024)
    file.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([2, -1024], dtype="<f4").tobytes()  # scl_slope, scl_inter
    raw[352:] = np.full(8, 10, dtype="<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    assert (read_image(tmp_path / "a.nii").image == -1004).all()


def test_a_generated_image_says_so(tmp_path):
    file = nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype=np.int16), np.eye(4))
    file.header["descrip"] = b"segtrace phantom seed 3"
    file.to_filename(tmp_path / "p.nii.gz")
    assert read_image(tmp_path / "p.nii.gz").phantom


def test_a_missing_file_is_named(image):
    with pytest.raises(InputError, match=r"label0001.nii.gz: no such file"):
        read_volume("0001", image, image.with_name("label0001.nii.gz"))


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(InputError, match=r"a.nii.gz: the file is empty; copy or download"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["t.nii", "t.nii.gz"])
@pytest.mark.parametrize("keep", [10, 200, 3000])
def test_a_truncated_file_is_named(tmp_path, name, keep):
    noise = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), dtype=np.int16)
    path = save(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"{name}: not a readable NIfTI file") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_gzip_with_flipped_bytes_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), dtype=np.int16)
    path = save(tmp_path / "t.nii.gz", noise)
    raw = bytearray(path.read_bytes())
    raw[2000:2200] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"t.nii.gz: not a readable NIfTI file"):
        read_image(path)


@pytest.mark.parametrize("content", [b"hello" * 100, gzip.compress(b"x" * 1000, mtime=0)])
def test_another_kind_of_file_is_named(tmp_path, content):
    path = tmp_path / "t.nii.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t.nii.gz: not a readable NIfTI file"):
        read_image(path)


@pytest.mark.parametrize("shape", [(4, 4, 4, 2), (4, 4)])
def test_an_image_that_is_not_three_dimensional_is_refused(tmp_path, shape):
    path = save(tmp_path / "d.nii.gz", np.zeros(shape, dtype=np.int16))
    with pytest.raises(InputError, match=r"d.nii.gz: shape \(4, 4.*\) is not a 3-D volume"):
        read_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_counted(tmp_path, value):
    values = np.zeros((4, 4, 4), dtype=np.float32)
    values[0, 1, :2] = value
    with pytest.raises(InputError, match=r"n.nii.gz: 2 voxels are NaN or infinite"):
        read_image(save(tmp_path / "n.nii.gz", values))


def test_a_label_of_another_shape_is_refused(tmp_path, image):
    label = save(tmp_path / "l.nii.gz", np.zeros((6, 5, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"l.nii.gz: shape \(6, 5, 3\) differs from \(6, 5, 4\)"):
        read_volume("0001", image, label)


def test_a_label_on_another_grid_is_refused(tmp_path, image):
    values = np.zeros((6, 5, 4), dtype=np.uint8)
    for affine in (AFFINES["RAS"], AFFINES["oblique"], shifted(0.7), shifted(np.nan)):
        label = save(tmp_path / "l.nii.gz", values, affine)
        with pytest.raises(InputError, match=r"l.nii.gz: the affine differs.*mm apart"):
            read_volume("0001", image, label)


def test_rounding_in_a_header_is_no_other_grid(tmp_path, image):
    values = np.zeros((6, 5, 4), dtype=np.uint8)
    label = save(tmp_path / "l.nii.gz", values, shifted(1e-4))
    assert read_volume("0001", image, label).label is not None


def test_label_and_image_turn_together(tmp_path):
    random = np.random.default_rng(1)
    values = random.integers(0, 13, (7, 6, 5))
    write_case(tmp_path, "0001", values, values, AFFINES["oblique"])
    volume = read_volume(
        "0001", tmp_path / "img" / "img0001.nii.gz", tmp_path / "label" / "label0001.nii.gz"
    )
    assert np.array_equal(volume.image, values.transpose(2, 1, 0))
    assert np.array_equal(volume.label, volume.image)


POINTS = np.random.default_rng(2).integers(0, 13, (6, 5, 4))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LPI", "SAL", "PIR", "ASR"])
def test_a_label_on_the_images_points_in_another_order_is_put_into_the_images(tmp_path, axes):
    image = save(tmp_path / "i.nii.gz", POINTS.astype(np.int16))
    label = nibabel.Nifti1Image(POINTS.astype(np.uint8), AFFINES["LAS"])
    order = orientations.ornt_transform(
        orientations.io_orientation(label.affine), orientations.axcodes2ornt(axes)
    )
    label.as_reoriented(order).to_filename(tmp_path / "l.nii.gz")
    volume = read_volume("0001", image, tmp_path / "l.nii.gz")
    assert np.array_equal(volume.label, volume.image)


def test_a_label_in_another_order_on_an_oblique_grid_is_put_into_the_images(tmp_path):
    """Close to 45 degrees, where headers that differ in a last digit name other nearest axes."""
    affine, near = turned(44.9999), turned(45.0001)
    image = save(tmp_path / "i.nii.gz", POINTS.astype(np.int16), affine)
    flipped = near @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = (near @ (5, 0, 0, 1))[:3]
    label = save(tmp_path / "l.nii.gz", POINTS[::-1].astype(np.uint8), flipped)
    volume = read_volume("0001", image, label)
    assert np.array_equal(volume.label, volume.image)


def test_a_flip_about_another_point_is_another_grid(tmp_path, image):
    flipped = AFFINES["LAS"] @ np.diag([-1.0, 1, 1, 1])  # about voxel 0, not about the middle
    label = save(tmp_path / "l.nii.gz", np.zeros((6, 5, 4), np.uint8), flipped)
    with pytest.raises(InputError, match=r"corners up to 25 mm apart\); resample"):
        read_volume("0001", image, label)


def test_axes_of_length_one_behind_a_label_are_dropped(tmp_path, image):
    label = save(tmp_path / "l.nii.gz", np.ones((6, 5, 4, 1), np.uint8))
    assert read_volume("0001", image, label).label.shape == (4, 5, 6)


@pytest.mark.parametrize("affine", [None, np.eye(4)])
def test_a_label_that_does_not_say_where_it_lies_is_told_so(tmp_path, image, affine):
    label = save(tmp_path / "l.nii.gz", np.ones((6, 5, 4), np.uint8), affine)
    with pytest.raises(InputError, match=r"l.nii.gz does not say where it lies .*img0001.nii.gz"):
        read_volume("0001", image, label)
    save(image, np.full((6, 5, 4), -100, np.int16), affine)
    label = save(label, np.ones((6, 5, 4), np.uint8))
    with pytest.raises(InputError, match=r"img0001.nii.gz does not say where it lies .*l.nii.gz"):
        read_volume("0001", image, label)
    label = save(label, np.ones((6, 5, 4), np.uint8), affine)
    assert read_volume("0001", image, label).label.all()  # both alike: the same points


def test_a_real_scan_is_ct_in_hu_and_the_same_less_its_rescaling_is_told(ct_root, tmp_path):
    path = next((ct_root / "RawData").rglob("img9001.nii.gz"))
    volume = read_image(path)
    assert volume.hounsfield_known
    assert volume.findings == ()
    file = nibabel.load(path)
    shifted = nibabel.Nifti1Image(file.get_fdata() + 1024, file.affine, file.header)
    shifted.to_filename(tmp_path / "img9001.nii.gz")
    volume = read_image(tmp_path / "img9001.nii.gz")
    assert not volume.hounsfield_known
    assert [finding.kind for finding in volume.findings] == ["no HU"]
    assert volume.grid.sides_known
