import nibabel
import numpy as np
import pytest

from helpers.raw_layout import AFFINES
from segtrace.data.cases import TEST12
from segtrace.data.modules import SynapseData
from segtrace.data.published.comparison import report
from segtrace.data.published.synapse import SLICES, TRAIN_SLICES
from segtrace.data.sources import RawSource

TEST_SLICES = SLICES - 2211


def synapse(root, depths, axes="LAS", descrip=b""):
    """A folder of headers: as many slices as are published, of one pixel."""
    for part in ("img", "label"):
        (root / part).mkdir()
    where = axes.upper().index("S") if "S" in axes.upper() else axes.upper().index("I")
    for case, depth in depths.items():
        shape = [1, 1, 1]
        shape[where] = depth
        image = nibabel.Nifti1Image(np.zeros(shape, np.int16), AFFINES[axes])
        image.header["descrip"] = descrip
        image.to_filename(root / "img" / f"img{case}.nii.gz")
    return RawSource(str(root))


WHOLE = TRAIN_SLICES | dict.fromkeys(TEST12[1:], 131) | {TEST12[0]: TEST_SLICES - 11 * 131}


@pytest.mark.parametrize("axes", ["LAS", "PIR"])
def test_the_published_data_set_is_not_remarked_on(tmp_path, axes):
    assert sum(WHOLE.values()) == 3779
    assert report(synapse(tmp_path, WHOLE, axes)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"0005": 0}, r": 1 of its 30 cases missing \(0005\)\."),
        ({"0041": 5}, r": it has no case 0041\."),
        ({"0005": 116, "0040": 1}, "0005 has 116 slices, not 117, 0040 has 1 slices, not 195"),
        ({"0001": 1}, r"the 12 test cases have 1442 slices, not 1568"),
        (
            dict.fromkeys(TEST12, 0),
            r"12 of its 30 cases missing \(0001, 0002, 0003, 0004 and 8 more\)\.",
        ),
    ],
)
def test_what_differs_is_one_line(tmp_path, change, words):
    depths = {case: depth for case, depth in {**WHOLE, **change}.items() if depth}
    found = report(synapse(tmp_path, depths))
    assert "\n" not in found
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found)


def test_a_broken_file_is_left_to_whoever_loads_it(tmp_path):
    source = synapse(tmp_path, WHOLE)
    (tmp_path / "img" / "img0005.nii.gz").write_bytes(b"")
    assert report(source) is None


def test_a_phantom_says_itself_that_it_is_one(tmp_path):
    assert report(synapse(tmp_path, {"0001": 3}, descrip=b"segtrace phantom, seed 0")) is None


def test_it_is_said_once_when_the_data_are_named(tiny_raw, ct_root, capsys):
    split = {"train": ["0005"], "val": ["0006"]}
    for _ in range(2):
        assert SynapseData(str(tiny_raw), split=split).source.cases()
    said = capsys.readouterr().out
    assert said.count("Not the published Synapse") == 1
    assert "26 of its 30 cases missing" in said
    assert "0005 has 8 slices, not 117" in said
    assert "none of its 30 cases is here, but 9001, 9002" in report(RawSource(str(ct_root)))
