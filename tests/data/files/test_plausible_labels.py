import numpy as np
import pytest

from segtrace.data.files import plausible_labels
from segtrace.data.files.plausible_labels import judge_order
from segtrace.data.labels import BTCV
from segtrace.data.published.numberings import NUMBERINGS
from segtrace.data.sources import RawSource

BOXES = {  # organ -> depth, column 0 on
    "liver": (10, slice(2, 14)),
    "spleen": (4, slice(26, 30)),
    "right_kidney": (4, slice(8, 11)),
    "left_kidney": (4, slice(21, 24)),
    "aorta": (14, slice(16, 18)),
    "gallbladder": (2, slice(12, 14)),
    "pancreas": (2, slice(14, 20)),
    "stomach": (5, slice(18, 26)),
}


def body(numbering, only=None, of=()):
    """A label in which every organ is a box on rows of its own; ``of`` replaces some boxes."""
    label = np.zeros((16, 40, 32), np.uint8)
    for row, (organ, (depth, columns)) in enumerate({**BOXES, **dict(of)}.items()):
        if only is None or organ in only:
            label[1 : 1 + depth, 4 * row + 2 : 4 * row + 6, columns] = numbering[organ]
    return label


def judged(label, numbering, sides=True):
    return " ".join(finding.words for finding in judge_order(label, numbering, sides))


@pytest.mark.parametrize("name", NUMBERINGS)
@pytest.mark.parametrize("sides", [True, False])
def test_organs_where_they_belong_pass(name, sides):
    assert judged(body(NUMBERINGS[name]), NUMBERINGS[name], sides) == ""
    assert judged(np.zeros((4, 5, 6)), NUMBERINGS[name], sides) == ""


@pytest.mark.parametrize("files", ["transunet", "cascade", "samed"])
@pytest.mark.parametrize("read", ["transunet", "cascade", "samed"])
def test_another_order_of_the_same_files_is_told_with_the_one_that_agrees(files, read):
    words = judged(body(NUMBERINGS[files]), NUMBERINGS[read], False)
    assert bool(words) == (files != read)
    assert (f"data.labels={files}" in words) == (files != read)


@pytest.mark.parametrize(
    ("of", "sides", "words"),
    [
        ({"spleen": (12, slice(2, 14))}, False, "liver (6) is no larger than its spleen (1)"),
        ({"left_kidney": (10, slice(20, 32))}, False, "is no larger than its left kidney (3)"),
        ({"aorta": (14, slice(28, 30))}, False, "aorta (8) does not lie between its kidneys"),
        ({"spleen": (4, slice(0, 4))}, True, "liver (6) lies on the patient's left of its spleen"),
        ({"left_kidney": (4, slice(2, 5)), "right_kidney": (4, slice(26, 29))}, True,
         "right kidney (2) lies on the patient's left of its left kidney (3)"),
    ],
)  # fmt: skip
def test_each_contradiction_of_anatomy_is_told(of, sides, words):
    label = body(BTCV, of=of)
    assert words in judged(label, BTCV, sides)
    assert not sides or judged(label, BTCV, False) == ""


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_size_of_a_liver_that_the_scan_cuts_off_says_nothing(axis):
    of = {"spleen": (12, slice(2, 14))}
    label = body(BTCV, of=of)
    there = np.flatnonzero((label == BTCV["liver"]).any(tuple({0, 1, 2} - {axis})))
    cut = label.take(np.arange(there[0] + 1, label.shape[axis]), axis)
    assert "no larger" in judged(label, BTCV, False)
    assert "no larger" not in judged(cut, BTCV, False)


@pytest.mark.parametrize("case", ["9001", "9002"])
def test_no_false_alarm_on_real_scans_nor_on_parts_of_them(ct_root, case):
    volume = RawSource(str(ct_root)).load(case)
    depth = len(volume.label)
    for part in (depth // 10, depth // 3, depth):
        for start in range(0, depth - part + 1, max(1, part // 2)):
            assert judged(volume.label[start : start + part], BTCV) == ""
    assert judged(np.flip(volume.label, 2), BTCV) != ""


def test_what_is_seen_of_all_organs_at_once_is_what_is_seen_of_each():
    random = np.random.default_rng(0)
    label = random.choice(5, (6, 7, 9), p=[0.9, 0.05, 0.02, 0.02, 0.01]).astype(np.uint16)
    label[2:4, 2:4, 2:4] = 300  # the one that no end of the scan cuts off
    seen = plausible_labels._seen(np.asfortranarray(label))
    assert seen.keys() == {1, 2, 3, 4, 300}
    for number, organ in seen.items():
        places = np.argwhere(label == number)
        ends = (places == 0) | (places == np.array(label.shape) - 1)
        assert organ.voxels == len(places)
        assert organ.x == pytest.approx(places[:, 2].mean())
        assert organ.cut == bool(ends.any())


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float64])
@pytest.mark.parametrize("largest", [13, 300])
def test_voxels_are_counted_by_number_and_column_whatever_the_type(kind, largest):
    label = np.random.default_rng(0).integers(-30, 14, (3, 5, 7)).clip(0)
    label[label == 13] = largest if kind != np.uint8 else 255
    numbers, columns = plausible_labels._columns(label.astype(kind))
    assert numbers.tolist() == sorted({*label.ravel().tolist()} - {0})
    for number, row in zip(numbers, columns, strict=True):
        assert row.tolist() == (label == number).sum((0, 1)).tolist()
