import shutil

import h5py
import numpy as np
import pytest

from segtrace.data.files.geometry import Geometry
from segtrace.data.labels import BTCV, TRANSUNET, organ_table, to_channels
from segtrace.data.modules import TransUNetData
from segtrace.data.sources import RawSource
from segtrace.data.transunet import TransUNetSource, read_h5
from segtrace.errors import InputError

SHAPE = (12, 10)  # x, y


@pytest.fixture
def root(tmp_path):
    """Cases 0005 (3 slices, training) and 0008 (4 slices, test); one marked pixel each."""
    (tmp_path / "train_npz").mkdir()
    (tmp_path / "test_vol_h5").mkdir()
    (tmp_path / "lists" / "lists_Synapse").mkdir(parents=True)
    label = np.zeros((4, *SHAPE), dtype=np.float32)
    label[:, 2, 7] = 5  # liver: low x, high y
    image = np.where(label > 0, 1.0, 0.25).astype(np.float32)
    for index in range(3):
        np.savez(tmp_path / "train_npz" / f"case0005_slice{index:03d}.npz",
                 image=image[index], label=label[index])  # fmt: skip
    with h5py.File(tmp_path / "test_vol_h5" / "case0008.npy.h5", "w") as file:
        file["image"], file["label"] = image, label
    lists = tmp_path / "lists" / "lists_Synapse"
    (lists / "train.txt").write_text("".join(f"case0005_slice{i:03d}\n" for i in (2, 0, 1)))
    (lists / "test_vol.txt").write_text("case0008\n")
    return tmp_path


def test_both_forms_come_out_upright(root):
    source = TransUNetSource(str(root))
    assert source.cases() == ("0005", "0008")
    for case, depth in (("0005", 3), ("0008", 4)):
        volume = source.load(case)
        assert volume.image.shape == (depth, 10, 12)
        assert np.argwhere(volume.label).tolist() == [[i, 7, 2] for i in range(depth)]
        assert np.array_equal(volume.image == 1, volume.label == 5)
        assert volume.windowed
        assert volume.grid.rows_columns == (10, 12)


def test_spacing_is_unknown_unless_given(root):
    assert np.isnan(TransUNetSource(str(root)).load("0005").grid.spacing).all()
    grid = TransUNetSource(str(root), spacing=[0.7, 0.8, 3]).load("0005").grid
    assert grid.spacing == (0.7, 0.8, 3)
    assert grid.affine is None
    assert not Geometry.fit(grid, 8).sides_known  # [x, y] says nothing of the patient


@pytest.mark.parametrize("spacing", [[1, 1], [1, 0, 1], [1, -1, 2]])
def test_impossible_spacing_is_refused(root, spacing):
    with pytest.raises(InputError, match=r"data.spacing="):
        TransUNetSource(str(root), spacing=spacing)


def test_missing_lists_are_named_with_the_option(root):
    shutil.rmtree(root / "lists")
    with pytest.raises(InputError, match=r"no train.txt and test_vol.txt in .*give data.lists="):
        TransUNetSource(str(root))


def listed(root, *lines, name="train.txt"):
    path = root / "lists" / "lists_Synapse" / name
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("line", ["case0005_slice01x", "0005", "case_slice"])
def test_a_list_with_a_strange_line_is_refused(root, line):
    listed(root, "case0005_slice000", line)
    with pytest.raises(InputError, match=r"train.txt: line .* is not caseNNNN_sliceNNN; correct"):
        TransUNetSource(str(root))


@pytest.mark.parametrize("line", ["0008", "case0008.h5"])
def test_a_test_list_with_a_strange_line_is_refused(root, line):
    listed(root, line, name="test_vol.txt")
    with pytest.raises(InputError, match=r"test_vol.txt: line .* is not caseNNNN; correct"):
        TransUNetSource(str(root))


def test_a_test_list_may_name_the_files(root):
    listed(root, "case0008.npy.h5", name="test_vol.txt")
    assert TransUNetSource(str(root)).test == ("0008",)


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ((0, 2), "listed up to slice 002, but its line case0005_slice001 is missing; add it, or"),
        ((1, 2), "its line case0005_slice000 is missing"),
        ((0, 4), r"its line case0005_slice001 \(and 2 more\) is missing"),
        ((0, 1, 1, 2), "case0005_slice001 is listed twice; take one of the lines out"),
    ],
)
def test_a_list_with_a_gap_names_the_lines_that_are_missing(root, slices, message):
    listed(root, *(f"case0005_slice{index:03d}" for index in slices))
    with pytest.raises(InputError, match=rf"train.txt: .*{message}"):
        TransUNetSource(str(root))


def test_the_remedies_of_a_gap_work(root):
    listed(root, *(f"case0005_slice{index:03d}" for index in (0, 2)))
    listed(root, "case0008", name="test_vol.txt")
    listed(root, *(f"case0005_slice{index:03d}" for index in (0, 2, 1)))
    assert TransUNetSource(str(root)).cases() == ("0005", "0008")
    listed(root)
    assert TransUNetSource(str(root)).cases() == ("0008",)


def test_a_list_of_another_encoding_is_read_or_named(root):
    path = root / "lists" / "lists_Synapse" / "train.txt"
    path.write_bytes("\ufeffcase0005_slice000\r\n".encode())
    assert TransUNetSource(str(root)).train == ("0005",)
    path.write_bytes(b"\xff\xfecase0005")
    with pytest.raises(InputError, match=r"train.txt: line .* is no name of a case"):
        TransUNetSource(str(root))


def test_a_listed_file_that_is_missing_is_named(root):
    (root / "train_npz" / "case0005_slice001.npz").unlink()
    with pytest.raises(InputError, match=r"case0005_slice001.npz: no such file, yet the lists"):
        TransUNetSource(str(root)).load("0005")


def test_an_array_alone_in_the_place_of_an_npz_is_called_so(root):
    path = root / "train_npz" / "case0005_slice001.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((8, 8)))
    with pytest.raises(InputError, match=r"slice001.npz: one array \(npy\), where .* numpy.savez"):
        TransUNetSource(str(root)).load("0005")


@pytest.mark.parametrize("name", ["train_npz/case0005_slice001.npz", "test_vol_h5/case0008.npy.h5"])
@pytest.mark.parametrize("keep", [0, 100, 1000])
def test_a_truncated_file_is_named(root, name, keep):
    (root / name).write_bytes((root / name).read_bytes()[:keep])
    case = name.split("case")[1][:4]
    with pytest.raises(InputError, match=rf"{name}: no readable image and label in it") as caught:
        TransUNetSource(str(root)).load(case)
    assert "\n" not in str(caught.value)


def test_files_without_their_keys_are_named(root):
    np.savez(root / "train_npz" / "case0005_slice001.npz", image=np.zeros(SHAPE))
    with h5py.File(root / "test_vol_h5" / "case0008.npy.h5", "w") as file:
        file["image"] = np.zeros((4, *SHAPE))
    for case, name in (("0005", "case0005_slice001.npz"), ("0008", "case0008.npy.h5")):
        with pytest.raises(InputError, match=rf"{name}: no readable image and label.*label"):
            TransUNetSource(str(root)).load(case)


def test_a_pickle_in_an_npz_is_refused(root):
    np.savez(root / "train_npz" / "case0005_slice001.npz", image=np.array([{}], dtype=object),
             label=np.zeros(1))  # fmt: skip
    with pytest.raises(InputError, match=r"slice001.npz: no readable image and label"):
        TransUNetSource(str(root)).load("0005")


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (np.full(SHAPE, 40.0), np.zeros(SHAPE), "image values 40 to 40"),
        (np.full(SHAPE, np.nan), np.zeros(SHAPE), "120 voxels are NaN"),
        (np.zeros(SHAPE), np.zeros((3, 3)), "differ in shape"),
        (np.zeros((3, 3)), np.zeros((3, 3)), r"shape \(3, 3\), but .*slice000.npz \(12, 10\)"),
        (np.zeros((*SHAPE, 3)), np.zeros(SHAPE), r"image of shape .* is not \[x, y\]; save one"),
        (np.zeros((*SHAPE, 3)), np.zeros((*SHAPE, 3)), r"image of shape \(12, 10, 3\) is not"),
        (np.zeros(SHAPE), np.zeros((*SHAPE, 3)), r"label of shape \(12, 10, 3\) is not"),
        (np.zeros((0, 10)), np.zeros((0, 10)), "image of shape"),
        (np.zeros(()), np.zeros(()), "image of shape"),
        (np.zeros(SHAPE, complex), np.zeros(SHAPE), "image holds complex128; save real numbers"),
        (np.full(SHAPE, "a"), np.zeros(SHAPE), "image holds <U1"),
    ],
)
def test_slices_that_cannot_be_right_are_named(root, image, label, message):
    np.savez(root / "train_npz" / "case0005_slice001.npz", image=image, label=label)
    with pytest.raises(InputError, match=rf"case0005_slice001.npz: .*{message}"):
        TransUNetSource(str(root)).load("0005")


def test_every_slice_in_colours_is_not_said_to_differ_from_itself(root):
    for index in range(3):
        np.savez(root / "train_npz" / f"case0005_slice{index:03d}.npz",
                 image=np.zeros((*SHAPE, 3)), label=np.zeros((*SHAPE, 3)))  # fmt: skip
    with pytest.raises(
        InputError, match=r"slice000.npz: image of .*\[x, y\].*no colours"
    ) as caught:
        TransUNetSource(str(root)).load("0005")
    assert "but" not in str(caught.value)


def test_axes_of_length_one_behind_the_last_are_dropped(root):
    with h5py.File(root / "test_vol_h5" / "case0008.npy.h5", "a") as file:
        for key in ("image", "label"):
            values = file[key][:]
            del file[key]
            file[key] = values[..., None]
    assert TransUNetSource(str(root)).load("0008").image.shape == (4, 10, 12)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_slice_with_a_flipped_bit_is_named(root, save):
    path = root / "train_npz" / "case0005_slice001.npz"
    save(path, image=np.random.default_rng(0).random(SHAPE), label=np.zeros(SHAPE))
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"slice001.npz: no readable image and label"):
        TransUNetSource(str(root)).load("0005")


def test_the_files_say_hu_but_neither_sides_nor_mm(root):
    for case in ("0005", "0008"):
        volume = TransUNetSource(str(root)).load(case)
        assert volume.hounsfield_known
        assert not volume.grid.sides_known
        assert TransUNetSource(str(root), sides=True).load(case).grid.sides_known


def test_a_constant_case_is_told(root):
    assert TransUNetSource(str(root)).load("0005").findings == ()
    for index in range(3):
        np.savez(root / "train_npz" / f"case0005_slice{index:03d}.npz",
                 image=np.full(SHAPE, 0.25), label=np.zeros(SHAPE))  # fmt: skip
    (finding,) = TransUNetSource(str(root)).load("0005").findings
    assert "every voxel of its image is 0.25" in finding.words


def test_the_cases_of_the_test_list_are_proposed_for_the_test_alone(root):
    listed(root, "case0105_slice000", "case0106_slice000")
    listed(root, "case0103", name="test_vol.txt")
    wanted = r"no published split.*train: \[\"0105\"\], val: \[\"0106\"\], test: \[\"0103\"\]"
    with pytest.raises(InputError, match=wanted):
        TransUNetData(str(root), organs=["liver"]).split  # noqa: B018 (chosen when asked for)


def test_a_test_case_that_was_trained_on_is_no_test_case(ct_root):
    source = TransUNetSource(str(ct_root))
    assert source.train == ("9001", "9002")
    assert source.test == ()
    assert source.split() is None


def test_the_two_layouts_of_a_real_scan_agree(ct_root):
    raw, files = RawSource(str(ct_root)).load("9001"), TransUNetSource(str(ct_root)).load("9001")
    organs = organ_table("synapse8", BTCV)
    channels = to_channels(raw.label, BTCV, organs, "raw")[60:112]
    assert np.array_equal(channels, to_channels(files.label, TRANSUNET, organs, "files"))
    windowed = (raw.image[60:112].clip(-125, 275) + 125) / 400
    assert np.allclose(windowed, files.image, atol=1e-6)


@pytest.mark.parametrize("case", ["9001", "9002"])
def test_a_real_test_volume_repeats_the_training_slices(ct_root, case):
    source = TransUNetSource(str(ct_root))
    image, label = read_h5(source.root / "test_vol_h5" / f"case{case}.npy.h5")
    volume = source.load(case)
    assert np.array_equal(image.transpose(0, 2, 1), volume.image)
    assert np.array_equal(label.transpose(0, 2, 1), volume.label)


@pytest.mark.parametrize("line", ["../../secret", "/etc/x", "case\x1b[31m", "a b", ".."])
@pytest.mark.parametrize("name", ["train.txt", "test_vol.txt"])
def test_a_line_of_a_list_that_is_no_name_is_refused(root, name, line):
    (root / "lists" / "lists_Synapse" / name).write_text(f"{line}\n")
    with pytest.raises(InputError, match=f"{name}: line .* is no name of a case"):
        TransUNetSource(str(root))
