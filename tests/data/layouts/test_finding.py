import json
import shutil

import nibabel
import numpy as np
import pytest

from segtrace.data.labels import BTCV
from segtrace.data.layouts.dataset_json import read_dataset_json
from segtrace.data.layouts.finding import find_source
from segtrace.data.modules import NiftiData
from segtrace.data.sources import RawSource
from segtrace.errors import InputError

CASES = ("0005", "0006")
ORGANS = {"spleen": 1, "right_kidney": 2, "left_kidney": 3, "liver": 6, "stomach": 7, "aorta": 8}


def copied(raw, root, images, masks):
    """Two cases of the tiny data set under other names."""
    for case in CASES:
        for kind, pattern in (("img", images), ("label", masks)):
            path = root / pattern.replace("*", case)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(raw / kind / f"{kind}{case}.nii.gz", path)
    return root


def told(root, **content):
    (root / "dataset.json").write_text(json.dumps(content))
    return str(root)


def same(source, raw, named="{}"):
    """Whether every case is that of the tiny data set."""
    reference = RawSource(str(raw))
    assert source.cases() == tuple(map(named.format, CASES))
    for case in CASES:
        mine, other = source.load(named.format(case)), reference.load(case)
        assert np.array_equal(mine.image, other.image)
        assert np.array_equal(mine.label, other.label)
    return source


@pytest.mark.parametrize(
    ("images", "masks", "case"),
    [
        ("img/img*.nii.gz", "label/label*.nii.gz", "{}"),
        ("imagesTr/*_0000.nii.gz", "labelsTr/*.nii.gz", "{}"),
        ("images/FLARE22_Tr_*_0000.nii.gz", "labels/FLARE22_Tr_*.nii.gz", "FLARE22_Tr_{}"),
        ("images/*.nii.gz", "masks/*.nii.gz", "{}"),
        ("imagesTr/img*.nii.gz", "labelsTr/label*.nii.gz", "{}"),
    ],
)
def test_two_folders_need_no_pattern(tiny_raw, tmp_path, images, masks, case):
    source = find_source(str(copied(tiny_raw, tmp_path, images, masks)), "btcv")
    assert source.numbering == BTCV
    same(source, tiny_raw, case)


NNUNET = {"background": 0} | ORGANS
DECATHLON = {"0": "background"} | {str(n): name.replace("_", " ") for name, n in ORGANS.items()}


@pytest.mark.parametrize("labels", [NNUNET, DECATHLON])
def test_nnunets_file_names_the_organs(tiny_raw, tmp_path, labels):
    copied(tiny_raw, tmp_path, "imagesTr/*_0000.nii.gz", "labelsTr/*.nii.gz")
    root = told(tmp_path, channel_names={"0": "CT"}, labels=labels, file_ending=".nii.gz")
    assert same(find_source(root), tiny_raw).numbering == ORGANS
    assert find_source(root, "btcv").numbering == BTCV  # the user's word goes first
    given = find_source(root, images="imagesTr/*_0000.nii.gz", masks="labelsTr/*.nii.gz")
    assert same(given, tiny_raw).numbering == ORGANS


def entries(*cases, image="./imagesTr/{}.nii.gz"):
    return [{"image": image.format(c), "label": f"./labelsTr/{c}.nii.gz"} for c in cases]


def test_amos_two_parts_are_its_split_without_the_file_too(tiny_raw, tmp_path):
    copied(tiny_raw, tmp_path, "imagesTr/*.nii.gz", "labelsTr/*.nii.gz")
    for kind in ("images", "labels"):
        (tmp_path / f"{kind}Va").mkdir()
        (tmp_path / f"{kind}Tr/0006.nii.gz").rename(tmp_path / f"{kind}Va/0006.nii.gz")
    source = same(find_source(str(tmp_path), "btcv"), tiny_raw)
    assert source.split()["val"] == ("0006",)
    assert "0006" not in source.split()["train"]
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT", "1": "PET"}}))
    with pytest.raises(InputError, match=r"2 input channels \(CT, PET\), and one file a case"):
        find_source(str(tmp_path), "btcv")


def test_a_pattern_of_one_folder_alone_asks_for_the_other(tiny_raw, tmp_path):
    copied(tiny_raw, tmp_path, "scans/*.nii.gz", "organs/*.nii.gz")
    with pytest.raises(InputError, match=r"holds no label/.*'data.masks=organs/\*.nii.gz'"):
        find_source(str(tmp_path), "btcv", images="scans/*.nii.gz")
    with pytest.raises(InputError, match=r"holds no img/.*'data.images=scans/\*.nii.gz'"):
        find_source(str(tmp_path), "btcv", masks="organs/*.nii.gz")


@pytest.mark.parametrize("channel", ["", "_0000"])
def test_listed_cases_are_read_with_their_split(tiny_raw, tmp_path, channel):
    copied(tiny_raw, tmp_path, f"imagesTr/*{channel}.nii.gz", "labelsTr/*.nii.gz")
    parts = {"training": entries("0005"), "validation": entries("0006"), "test": ["./x.nii.gz"]}
    root = told(tmp_path, modality={"0": "CT"}, labels=DECATHLON, **parts)
    source = same(find_source(root), tiny_raw)
    assert source.numbering == ORGANS
    assert source.split() == {"train": ("0005",), "val": ("0006",), "test": ()}
    data = NiftiData(root, organs=["liver"], cache_dir=str(tmp_path / "cache"), size=16)
    assert len(data.cases("train")[0]) == 8
    datalist = tmp_path / "any.json"
    datalist.write_text(json.dumps({"training": entries("0005", "0006")}))
    assert same(find_source(str(datalist), "btcv"), tiny_raw).split() is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"training": entries("0005", image="/etc/{}")}, "is no file below"),
        ({"training": entries("0005", image="../{}")}, "is no file below"),
        ({"training": entries("0005", image="a/../../{}")}, "is no file below"),
        ({"training": [{"image": ["a", "b"], "label": "c"}, {"image": "d", "label": "e"}]},
         "case e has 1 channels, and others have 2"),
        ({"training": [{"image": 3, "label": "c"}]}, "3 in training is no file"),
        ({"training": entries("0005", "0005")}, "lists 0005.nii.gz twice"),
        ({"training": entries("0005"), "validation": entries("0005")}, "training and validation"),
        ({"labels": {"liver": [1, 2]}}, "no single number; give data.labels"),
        ({"labels": {"1": "a b", "2": "a/b"}}, "two labels are called 'a_b'"),
        ({"labels": {"liver": 1, "spleen": 1}}, "'liver' and 'spleen' both have number 1; give"),
        ({"labels": {"liver": 1, "ignore": 2}}, "ignore, which is not done here"),
        ({"labels": {"": 1}}, "label 1 has no name; give data.labels"),
        ({"labels": {"1": " "}}, "label 1 has no name; give data.labels"),
        ({"training": entries("0005", image="labelsTr/{}.nii.gz")},
         "names 'labelsTr/0005.nii.gz' twice"),
        ({"training": [{"image": ["a", "./a"], "label": "c"}]}, "names 'a' twice"),
        ({"labels": 3}, "its labels are 3"),
        ({"labels": {"liver": "x"}}, "no single number"),
        ({"file_ending": ".png", "labels": NNUNET}, "save them as NIfTI"),
        ({}, "says which organ has which number; give data.labels"),
        ([1], r"it holds \[1\]"),
    ],
)  # fmt: skip
def test_a_dataset_json_that_cannot_be_followed_is_one_line(tiny_raw, tmp_path, content, words):
    copied(tiny_raw, tmp_path, "imagesTr/*_0000.nii.gz", "labelsTr/*.nii.gz")
    if "training" in content:
        content["labels"] = NNUNET
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words) as caught:
        find_source(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_several_channels_in_one_file_are_refused(tiny_raw, tmp_path):
    copied(tiny_raw, tmp_path, "imagesTr/*.nii.gz", "labelsTr/*.nii.gz")
    content = {"labels": NNUNET, "modality": {"0": "T1", "1": "T2"}}
    first = "imagesTr/0005_0000.nii.gz"
    shutil.copy(tmp_path / "imagesTr/0005.nii.gz", tmp_path / first)
    for listed in (
        {}, {"training": entries("0005")}, {"training": entries("0005", image=first)},
        {"channel_names": ["T1", "T2"]},
    ):  # fmt: skip
        (tmp_path / "dataset.json").write_text(json.dumps(content | listed))
        with pytest.raises(InputError, match=r"2 input channels \(T1, T2\), and one file a case"):
            find_source(str(tmp_path))


def test_a_broken_dataset_json_is_named(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset.json: not readable as JSON"):
        find_source(str(tmp_path))
    for encoding, words in (("utf-16", "UTF-16"), ("latin-1", "no UTF-8")):
        (tmp_path / "dataset.json").write_bytes('{"labels": {"é": 1}}'.encode(encoding))
        with pytest.raises(InputError, match=rf"its text is {words}; save it as UTF-8"):
            find_source(str(tmp_path))


@pytest.mark.parametrize("told", [True, False])
def test_several_channels_are_found_by_their_numbers(tiny_raw, tmp_path, told):
    for number in range(2):
        copied(tiny_raw, tmp_path, f"imagesTr/*_{number:04d}.nii.gz", "labelsTr/*.nii.gz")
    if told:
        content = {"labels": NNUNET, "channel_names": {"0": "T1", "1": "T2"}}
        (tmp_path / "dataset.json").write_text(json.dumps(content))
    source = find_source(str(tmp_path), "btcv")
    assert source.channels == 2
    names = [path.name for path in source.files("0005")]
    assert names == ["0005_0000.nii.gz", "0005_0001.nii.gz", "0005.nii.gz"]
    image, other = source.load("0005").channels
    assert np.array_equal(image, other)
    # One of them is named by the user:
    options = {"images": "imagesTr/*_0000.nii.gz", "masks": "labelsTr/*.nii.gz"}
    same(find_source(str(tmp_path), "btcv", **options), tiny_raw)


@pytest.mark.parametrize("listed", ["0005.nii.gz", ["0005_0000.nii.gz", "0005_0001.nii.gz"]])
def test_several_channels_of_a_list(tiny_raw, tmp_path, listed):
    for number in range(2):
        copied(tiny_raw, tmp_path, f"imagesTr/*_{number:04d}.nii.gz", "labelsTr/*.nii.gz")
    several = [f"imagesTr/{one}" for one in listed] if isinstance(listed, list) else None
    entry = {"image": several or f"imagesTr/{listed}", "label": "labelsTr/0005.nii.gz"}
    content = {"labels": NNUNET, "modality": {"0": "T1", "1": "T2"}, "training": [entry]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    source = find_source(str(tmp_path))
    assert source.channels == 2
    assert [path.name for path in source.files("0005")[:2]] == [
        "0005_0000.nii.gz", "0005_0001.nii.gz",
    ]  # fmt: skip


def test_a_folder_of_no_known_form_says_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"no dataset.json, no CASE/ct.nii.gz .*'data.images="):
        find_source(str(tmp_path), "btcv")


@pytest.fixture
def organ_files(tiny_raw, tmp_path):
    """The two cases as TotalSegmentator has them; one organ's file stored in another order."""
    for case in CASES:
        folder = tmp_path / f"s{case}" / "segmentations"
        folder.mkdir(parents=True)
        shutil.copy(tiny_raw / f"img/img{case}.nii.gz", folder.parent / "ct.nii.gz")
        label = nibabel.load(tiny_raw / f"label/label{case}.nii.gz")
        for organ, number in ORGANS.items():
            mask = (np.asarray(label.dataobj) == number).astype(np.uint8)
            file = nibabel.Nifti1Image(mask, label.affine)
            if organ == "liver":
                file = file.as_reoriented(np.array([(1, -1), (0, 1), (2, -1)]))
            file.to_filename(folder / f"{organ}.nii.gz")
    return tmp_path


def test_one_file_an_organ_is_one_label(organ_files, tiny_raw):
    source = same(find_source(str(organ_files), ORGANS), tiny_raw, "s{}")
    assert [path.name for path in source.files("s0005")][:2] == ["ct.nii.gz", "spleen.nii.gz"]
    every = find_source(str(organ_files))
    assert every.numbering == {name: n for n, name in enumerate(sorted(ORGANS), start=1)}
    liver = find_source(str(organ_files), {"liver": 2}).load("s0006").label
    assert np.array_equal(liver == 2, RawSource(str(tiny_raw)).load("0006").label == 6)


def test_organ_files_that_cannot_be_one_label_are_named(organ_files):
    with pytest.raises(InputError, match=r"no organ's file 'lung'; segmentations/ of the first"):
        find_source(str(organ_files), {"lung": 1})
    folder = organ_files / "s0005" / "segmentations"
    source = find_source(str(organ_files), {"liver": 6, "spleen": 1})
    shutil.copy(folder / "liver.nii.gz", folder / "spleen.nii.gz")
    with pytest.raises(InputError, match=r"of its voxels are in liver.nii.gz too"):
        source.load("s0005")
    label = nibabel.load(folder / "aorta.nii.gz")
    values = np.arange(label.shape[0] * label.shape[1] * label.shape[2]).reshape(label.shape) % 5
    nibabel.Nifti1Image(values.astype(np.uint8), label.affine).to_filename(folder / "spleen.nii.gz")
    with pytest.raises(InputError, match=r"spleen.nii.gz: several values beside 0"):
        source.load("s0005")
    (folder / "liver.nii.gz").unlink()
    with pytest.raises(InputError, match=r"liver.nii.gz: no such file"):
        source.load("s0005")


def test_a_key_that_stands_twice_is_refused_where_json_keeps_the_last(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text('{"labels": {"background": 0, "liver": 1, "spleen": 2, "liver": 3}}')
    with pytest.raises(InputError, match="'liver' stands twice in one mapping, for 1 and for 3"):
        read_dataset_json(path)
