import numpy as np
import pytest

from segtrace.data.files.findings import Finding, doubted, judge_values, told, warn
from segtrace.data.files.plausible import not_hounsfield

RANDOM = np.random.default_rng(0)


def scan(air=-1000.0, fat=-100.0, tissue=50.0, bone=600.0, shape=(4, 40, 40)):
    """Noisy tissue with a rim of fat and a spot of bone, in air."""
    _, y, x = np.indices(shape)
    radius = np.hypot(y - 19.5, x - 19.5)
    values = np.select([radius < 3, radius < 13, radius < 16], [bone, tissue, fat], air)
    return (values + RANDOM.normal(0, 15, shape)).round()


CT = scan()


@pytest.mark.parametrize(
    "image",
    [CT, CT.clip(-125, 275), CT.clip(-1024), scan(air=-2000), scan(air=-3024), CT[:, 8:32, 8:32],
     np.where(CT > 640, 30000, CT)],
)  # fmt: skip
def test_ct_passes_whole_clipped_cropped_padded_or_with_metal(image):
    assert judge_values(image) == ()


@pytest.mark.parametrize(
    ("image", "kind", "words"),
    [
        (CT.clip(-1024) + 1024, "no HU", "they look like HU [+] 1024"),
        (CT + 1000, "no HU", "perhaps: its values run from"),
        (np.pad(CT[:, 7:33, 7:33] + 1024, 9, constant_values=-2000), "no HU", "as bone is"),
        (RANDOM.gamma(2, 200, (4, 40, 40)), "no HU", "hardly any below 0"),
        ((CT - CT.mean()) / CT.std(), "no HU", "too narrow for CT"),
        (((CT.clip(-125, 275) + 125) / 400), "no HU", "too narrow"),
        (CT.astype(np.int16).astype(np.uint16), "no HU", "more than 1 % of them above|below 0"),
        (np.full((4, 5, 6), -100.0), "constant", "every voxel of its image is -100, so that"),
        (-0.0 * CT, "constant", "every voxel of its image is 0,"),
        (np.arange(14).repeat(100) * 9 - 60, "few values", "only 14 different values"),
    ],
)
def test_what_is_no_ct_in_hu_is_told_why(image, kind, words):
    (finding,) = judge_values(image)
    assert finding.kind == kind
    assert finding.doubts == ("hounsfield",)
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(finding.words)


def test_padding_does_not_hide_that_air_is_missing():
    padded = np.pad(CT[:, 7:33, 7:33] + 1024, 9, constant_values=-2000)
    assert "of all but air above 500" in not_hounsfield(padded)
    assert not_hounsfield(np.pad(CT, 9, constant_values=-2000)) is None


HU = Finding("no HU", "values 0 to 9", ("hounsfield",))


def test_the_same_finding_in_many_cases_is_one_line():
    other = Finding("no HU", "values 0 to 8", ("hounsfield",))
    oblique = Finding("oblique", "44 degrees", ("sides",))
    lines = told([("a", HU), ("b", oblique), ("c", other), ("d", other)])
    assert lines == ["case a: values 0 to 9; the like of 2 more: c, d", "case b: 44 degrees"]


def test_each_line_is_one_warning():
    with pytest.warns(UserWarning, match=r"case a: values 0 to 9; the like of 1 more: b") as caught:
        warn([("a", HU), ("b", HU)])
    assert len(caught) == 1
    warn([])


def test_a_finding_survives_json_and_doubts_what_it_says():
    assert Finding.from_plain(HU.to_plain()) == HU
    assert doubted([HU], "hounsfield")
    assert not doubted([HU], "sides")
