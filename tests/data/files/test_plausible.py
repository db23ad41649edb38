"""Values that are no HU are told from those that may be."""

import numpy as np
import pytest

from segtrace.data.files.nifti import read_image
from segtrace.data.files.plausible import not_hounsfield


def body(tissue=40.0, air=-1000.0):
    """A disc of noisy tissue in air."""
    x, y = np.meshgrid(np.arange(-32, 32), np.arange(-32, 32))
    noise = np.random.default_rng(0).normal(0, 15, x.shape)
    return np.where(x**2 + y**2 < 24**2, tissue, air) + noise


MR = np.abs(np.random.default_rng(0).normal(700, 400, (32, 32)))


@pytest.mark.parametrize(
    "values",
    [
        body(),
        body().clip(-125, 275),
        body(air=-2000),
        body().clip(-1024, None).astype(np.int16),
        np.where(body() > 100, 30000, body()),
    ],
)
def test_ct_passes_whole_or_clipped_padded_or_with_metal(values):
    assert not_hounsfield(values) is None


def test_real_ct_passes_and_its_shifted_twin_is_told(ct_root):
    image = read_image(next((ct_root / "RawData").rglob("img9001.nii.gz"))).image
    assert not_hounsfield(image) is None
    assert not_hounsfield(image + 1024).endswith("they look like HU + 1024")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (MR, "hardly any below 0"),
        (body().clip(-1024, None) + 1024, "they look like HU + 1024"),
        (np.random.default_rng(0).normal(0, 1, (32, 32)), "too narrow for CT"),
        (np.random.default_rng(0).random((32, 32)), "too narrow for CT"),
        (np.zeros((8, 8)), "too narrow for CT"),
        (body(tissue=20000.0), "more than 1 % of them above 4000"),
    ],
)
def test_what_is_no_hu_is_told_why(values, part):
    assert part in not_hounsfield(values)


def test_mr_is_not_taken_for_a_shifted_ct():
    assert not_hounsfield(MR).endswith("where CT has fat and air")
