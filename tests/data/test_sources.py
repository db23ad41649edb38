import shutil
import sys
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

import segtrace.data.phantom
from helpers.raw_layout import AFFINES, write_case
from segtrace.data.cases import TEST12, TRAIN18
from segtrace.data.labels import BTCV, organ_table, to_channels
from segtrace.data.preprocessing import Preprocessing, labels_of
from segtrace.data.sources import NiftiSource, PhantomSource, RawSource
from segtrace.errors import InputError

VOXELS_9001 = {
    "spleen": 9668, "right_kidney": 7134, "left_kidney": 5090, "gallbladder": 1319, "esophagus": 0,
    "liver": 41692, "stomach": 4836, "aorta": 1839, "inferior_vena_cava": 2266,
    "portal_splenic_vein": 1086, "pancreas": 695, "right_adrenal": 166, "left_adrenal": 210,
}  # fmt: skip


@pytest.fixture
def copy(tiny_raw, tmp_path):
    return shutil.copytree(tiny_raw, tmp_path / "RawData" / "Training")


def test_the_folder_or_any_parent_of_it_will_do(tiny_raw):
    for root in (tiny_raw, tiny_raw.parent, tiny_raw.parent.parent):
        assert RawSource(str(root)).cases() == ("0001", "0005", "0006", "0027")


def test_several_data_sets_below_the_folder_are_listed(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "again")
    with pytest.raises(InputError, match=r"several folders hold img/ and label/: .*again"):
        RawSource(str(tmp_path))


def test_a_folder_without_data_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no folder with img/ and label/ in or below it"):
        RawSource(str(tmp_path))
    with pytest.raises(InputError, match=r"nowhere: no such folder; give data.root"):
        RawSource(str(tmp_path / "nowhere"))


def test_an_empty_image_folder_is_named(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "label").mkdir()
    with pytest.raises(InputError, match=r"no file matches img/img\*.nii.gz"):
        RawSource(str(tmp_path)).cases()


def test_a_missing_label_is_named(copy):
    (copy / "label" / "label0005.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label0005.nii.gz: no such file"):
        RawSource(str(copy)).load("0005")


def test_a_missing_image_is_named(copy):
    (copy / "img" / "img0005.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label0005.nii.gz: its image .*img0005.* is missing"):
        RawSource(str(copy)).cases()


def test_uncompressed_files_are_the_same_case(copy):
    compressed = RawSource(str(copy)).load("0005")
    for folder in ("img", "label"):
        path = copy / folder / f"{folder}0005.nii.gz"
        nibabel.load(path).to_filename(path.with_suffix(""))
        path.unlink()
    source = RawSource(str(copy))
    assert source.cases() == ("0001", "0005", "0006", "0027")
    assert np.array_equal(source.load("0005").image, compressed.image)


def test_only_exactly_the_published_cases_have_a_split(tmp_path):
    for folder in ("img", "label"):
        (tmp_path / folder).mkdir()
        for case in TRAIN18 + TEST12:
            (tmp_path / folder / f"{folder}{case}.nii.gz").touch()
    source = RawSource(str(tmp_path))
    assert len(source.split()["train"]) == 15
    (tmp_path / "img" / "img9001.nii.gz").touch()
    assert source.split() is None


def test_any_folder_is_read_by_its_patterns_and_table(tiny_raw, tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    for case in ("0005", "0006"):
        shutil.copy(tiny_raw / f"img/img{case}.nii.gz", tmp_path / f"imagesTr/p_{case}_0000.nii.gz")
        shutil.copy(tiny_raw / f"label/label{case}.nii.gz", tmp_path / f"labelsTr/p_{case}.nii.gz")
    source = NiftiSource(
        str(tmp_path), BTCV, images="imagesTr/*_0000.nii.gz", masks="labelsTr/*.nii.gz"
    )
    assert source.cases() == ("p_0005", "p_0006")
    assert source.split() is None
    assert np.array_equal(source.load("p_0005").label, RawSource(str(tiny_raw)).load("0005").label)


@pytest.mark.parametrize("options", [{"images": "a.nii.gz"}, {"masks": "*/*.nii"}, {"other": "x"}])
def test_a_source_with_impossible_options_is_refused(tiny_raw, options):
    with pytest.raises(InputError):
        NiftiSource(str(tiny_raw), BTCV, **options)


def test_values_outside_a_users_table_may_be_background(tiny_raw):
    source = NiftiSource(str(tiny_raw), {"liver": 6}, other="background")
    assert np.unique(source.load("0005").label).tolist() == [0, 6]
    assert len(np.unique(NiftiSource(str(tiny_raw), {"liver": 6}).load("0005").label)) > 2


def labelled(folder, values, kind):
    """One case whose label file is made from float64, as it happens."""
    affine = AFFINES["LAS"]
    for part in ("img", "label"):
        (folder / part).mkdir(parents=True)
    image = np.where(np.arange(values.size).reshape(values.shape) % 2, -900.0, 40)
    nibabel.Nifti1Image(image.astype(np.int16), affine).to_filename(folder / "img/img1.nii.gz")
    label = nibabel.Nifti1Image(values.astype(np.float64), affine)
    label.set_data_dtype(kind)
    label.to_filename(folder / "label/label1.nii.gz")
    return label


@pytest.mark.parametrize("other", ["refuse", "background"])
def test_whole_numbers_scaled_by_the_file_format_are_themselves(tmp_path, other):
    values = np.arange(0, 14).repeat(6).reshape(7, 4, 3)
    labelled(tmp_path, values, np.int16)
    stored = nibabel.load(tmp_path / "label/label1.nii.gz").get_fdata()
    assert (stored != values).any()  # the format's own doing
    volume = NiftiSource(str(tmp_path), BTCV, other=other).load("1")
    assert np.bincount(volume.label.ravel()).tolist() == [6] * 14
    channels = to_channels(volume.label, BTCV, organ_table("btcv13", BTCV), volume.where)
    assert np.bincount(channels.ravel()).tolist() == [6] * 14


@pytest.mark.parametrize("other", ["refuse", "background"])
def test_values_between_whole_numbers_are_refused_though_others_were_background(tmp_path, other):
    labelled(tmp_path, np.array([0, 1, 2.5, 2] * 2).reshape(2, 2, 2), np.float32)
    with pytest.raises(InputError, match=r"label1.nii.gz: label value 2.5 is outside"):
        NiftiSource(str(tmp_path), {"liver": 1}, other=other).load("1")


@pytest.mark.parametrize(
    ("source", "remedy"),
    [(lambda root: NiftiSource(root, {"liver": 6}), "data.other=background"),
     (RawSource, "data=nifti data.labels=")],
)  # fmt: skip
def test_a_value_outside_the_table_comes_with_a_remedy_of_its_source(tmp_path, source, remedy):
    labelled(tmp_path, np.array([0, 6, 40, 50] * 2).reshape(2, 2, 2), np.float32)
    volume = source(str(tmp_path)).load("1")
    settings = Preprocessing((-125.0, 275.0), 8, {"liver": 1})
    _, geometry = settings.images(volume)
    with pytest.raises(InputError, match=rf"label value 40 is outside .*{remedy}"):
        labels_of(volume, source(str(tmp_path)).numbering, settings, geometry)
    # The remedy, typed:
    known = NiftiSource(str(tmp_path), {"liver": 6}, other="background").load("1")
    assert labels_of(known, {"liver": 6}, settings, geometry).max() == 1


def test_an_image_named_as_label_is_told_though_other_values_are_background(tiny_raw):
    swapped = {"images": "label/label*.nii.gz", "masks": "img/img*.nii.gz"}
    source = NiftiSource(str(tiny_raw), {"liver": 6}, other="background", **swapped)
    with pytest.raises(InputError, match=r"img0005.nii.gz: label value -\d+ is outside"):
        source.load("0005")


def test_the_test_cases_are_held_out_by_whoever_knows_them(tiny_raw):
    assert RawSource(str(tiny_raw)).held_out() == ("0001",)
    assert NiftiSource(str(tiny_raw), BTCV).held_out() == ()


def test_the_real_scan_holds_as_many_voxels_as_its_readme_says(ct_root):
    label = RawSource(str(ct_root)).load("9001").label
    counts = {name: int((label == number).sum()) for name, number in BTCV.items()}
    assert counts == VOXELS_9001


@pytest.mark.parametrize("case", ["9001", "9002"])
def test_real_scans_lie_as_the_convention_says(ct_root, case):
    volume = RawSource(str(ct_root)).load(case)
    height, width = volume.image.shape[1:]
    body = np.argwhere((volume.image > -200).any(axis=0)).mean(axis=0)

    def centre(mask):
        return np.argwhere(mask).mean(axis=0)

    liver = centre(volume.label == BTCV["liver"])
    spleen = centre(volume.label == BTCV["spleen"])
    bone = centre(volume.image[:, :, width // 3 : 2 * width // 3] > 400)
    assert liver[2] < body[1] < spleen[2]  # the patient's right is column 0
    assert bone[1] > body[0]  # the spine is posterior: high rows
    pelvis_to_dome = centre(volume.label == BTCV["liver"])[0]
    if case == "9001":
        assert pelvis_to_dome > volume.image.shape[0] / 2  # slice 0 is caudal
        assert centre(volume.label == BTCV["right_kidney"])[2] < body[1]
        assert centre(volume.label == BTCV["left_kidney"])[2] > body[1]
    assert height == volume.grid.rows_columns[0]


@pytest.fixture
def generator(monkeypatch):
    """A generator of one marked case that counts its calls."""
    calls = []

    def write(root, seed, cases, shape, workers):
        calls.append(seed)
        image = np.zeros(shape)
        write_case(root / "RawData" / "Training", "0001", image, image, AFFINES["LAS"])
        if seed == 13:
            raise KeyboardInterrupt
        return root

    fake = SimpleNamespace(write=write, fingerprint=lambda: "of a stand-in")
    monkeypatch.setitem(sys.modules, "segtrace.data.phantom.phantom", fake)
    monkeypatch.setattr(segtrace.data.phantom, "phantom", fake, raising=False)
    return calls


def test_a_phantom_is_written_once_for_each_kind(generator, tmp_path):
    options = {"root": str(tmp_path / "phantom"), "cases": 1, "shape": [8, 8, 8]}
    for _ in range(2):
        assert PhantomSource(**options).cases() == ("0001",)
    assert generator == [0]
    PhantomSource(**(options | {"seed": 1}))
    PhantomSource(**(options | {"shape": [8, 8, 5]}))
    assert generator == [0, 1, 0]


@pytest.mark.parametrize("lost", ["img", "label"])
def test_a_phantom_that_lost_a_file_is_made_anew_with_a_word(generator, tmp_path, lost):
    options = {"root": str(tmp_path), "cases": 1, "shape": (8, 8, 8)}
    file = PhantomSource(**options).root / lost / f"{lost}0001.nii.gz"
    file.unlink()
    with pytest.warns(UserWarning, match=r"files of the phantom are missing, so it is made anew"):
        PhantomSource(**options)
    assert file.is_file()
    assert generator == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_file_of_a_phantom_is_not_to_be_downloaded(generator, tmp_path):
    source = PhantomSource(str(tmp_path), cases=1, shape=(8, 8, 8))
    image = source.root / "img" / "img0001.nii.gz"
    image.write_bytes(image.read_bytes()[:-20])
    (folder,) = tmp_path.iterdir()
    with pytest.raises(InputError, match=rf"; since it is generated, remove {folder}, and it"):
        source.load("0001")
    shutil.rmtree(folder)
    assert PhantomSource(str(tmp_path), cases=1, shape=(8, 8, 8)).load("0001").phantom is False


def test_an_interrupted_phantom_is_never_taken_for_a_whole_one(generator, tmp_path):
    options = {"root": str(tmp_path), "seed": 13, "cases": 1, "shape": (8, 8, 8)}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            PhantomSource(**options)
    assert generator == [13, 13]


def test_a_phantom_folder_that_cannot_be_written_is_named(generator, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot write the phantom.*give data.root="):
        PhantomSource(root=str(tmp_path / "file"), cases=1, shape=(8, 8, 8))
    assert generator == []
