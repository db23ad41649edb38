import nibabel
import numpy as np
import pytest

from helpers.raw_layout import AFFINES
from segtrace.data.files.stored import read_stored
from segtrace.errors import InputError

VALUES = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.fixture
def saved(tmp_path):
    """Save values, then write some bytes into the header."""

    def saved(values, at=0, patch=b"", dtype=None):
        file = nibabel.Nifti1Image(values, AFFINES["LAS"], dtype=dtype)
        path = tmp_path / "a.nii"
        file.to_filename(path)
        content = bytearray(path.read_bytes())
        content[at : at + len(patch)] = patch
        path.write_bytes(content)
        return path

    return saved


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_stored(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "f4", "f8", ">i2", ">f4"])
def test_every_type_of_number_is_read(saved, kind):
    values = (VALUES // 10).astype(kind)
    stored = read_stored(saved(values, dtype=values.dtype))
    whole = values.dtype.kind == "i"  # kept as it is stored
    assert stored.values.dtype == (values.dtype.newbyteorder("=") if whole else np.float32)
    np.testing.assert_array_equal(stored.values, values)


def test_a_header_in_the_other_byte_order_is_read(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.Nifti1Image(VALUES, AFFINES["LAS"], header).to_filename(tmp_path / "b.nii.gz")
    stored = read_stored(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(stored.values, VALUES)
    np.testing.assert_allclose(stored.affine, AFFINES["LAS"])


def test_the_second_version_of_the_format_is_read(tmp_path):
    nibabel.Nifti2Image(VALUES, AFFINES["LAS"]).to_filename(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_stored(tmp_path / "b.nii.gz").values, VALUES)


@pytest.mark.parametrize("behind", [(1,), (1, 1), (1, 1, 1, 1)])
def test_axes_of_length_one_behind_the_third_are_dropped(saved, behind):
    stored = read_stored(saved(VALUES.reshape(VALUES.shape + behind)))
    np.testing.assert_array_equal(stored.values, VALUES)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 2, 2), (1, 6, 5, 4)])
def test_other_shapes_are_refused(saved, shape):
    refused(saved(np.zeros(shape, np.int16)), r"shape \(.*\) is not a 3-D volume; save one")


@pytest.mark.parametrize("sizes", [(3, 6, 0, 4), (3, 6, -5, 4)])
def test_sizes_that_hold_no_voxel_are_refused(saved, sizes):
    refused(saved(VALUES, 40, np.array(sizes, "<i2").tobytes()), "is not a 3-D volume")


def test_pictures_are_refused_as_pictures(saved):
    refused(saved(np.zeros((6, 5, 4), COLOURS)), r"a.nii: its voxels are colours \(R\+G\+B\)")
    with_alpha = np.dtype([*COLOURS.descr, ("A", "u1")])
    refused(saved(np.zeros((6, 5, 4), with_alpha)), r"colours \(R\+G\+B\+A\), a picture and no CT")
    refused(saved(VALUES.astype(np.complex64)), "its voxels are complex numbers")


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_a_slope_that_is_none_scales_nothing(saved, slope):
    path = saved(VALUES, 112, np.array([slope, 0], "<f4").tobytes())
    np.testing.assert_array_equal(read_stored(path).values, VALUES)


@pytest.mark.parametrize(
    ("at", "patch", "message"),
    [
        (40, np.array([3] + [32000] * 3, "<i2"), "592 of 65536000000352 bytes are there"),
        (70, np.array([1, 1], "<i2"), "data code 1 not supported"),
        (70, np.array([9999], "<i2"), "data code 9999 not recognized"),
        (108, np.array([0], "<f4"), "it says that voxels start at byte 0, within the header"),
        (108, np.array([1e9], "<f4"), "bytes are there.*copy or download"),
        (108, np.array([np.nan], "<f4"), "NaN to integer"),
        (112, np.array([1, np.nan], "<f4"), "invalid intercept nan"),
    ],
)
def test_a_damaged_header_is_told_in_one_line_and_nothing_else(saved, caplog, at, patch, message):
    refused(saved(VALUES, at, patch.tobytes()), rf"a.nii: not a readable NIfTI file.*({message})")
    assert caplog.records == []


def test_what_nibabel_mends_in_a_header_is_not_printed(saved, caplog):
    stored = read_stored(saved(VALUES, 76, np.array([1, 0, 0, 0], "<f4").tobytes()))
    assert stored.header["pixdim"][1:4].tolist() == [0, 0, 0]  # as the file has it
    assert caplog.records == []
