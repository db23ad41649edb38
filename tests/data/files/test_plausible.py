"""Values that are no HU are told from those that may be."""

import numpy as np
import pytest

from segtrace.data.files.findings import judge_values
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


def scan(*masks, base=-1000.0, noise=15.0):
    """A volume of noisy air with (place, HU, noise) in it."""
    rng = np.random.default_rng(0)
    values = rng.normal(base, noise, (40, 40, 8))
    for place, hu, spread in masks:
        values[place] = rng.normal(hu, spread, values[place].shape)
    return values


INNER, HALF = np.s_[8:32, 8:32], np.s_[8:20, 8:32]
BED = (np.s_[8:32, 33:36], -600, 100)
WHOLE = scan((INNER, 40, 15), (HALF, -100, 15))


def padded(values, hu):
    x, y = np.meshgrid(np.arange(-20, 20), np.arange(-20, 20))
    return np.where((x**2 + y**2 > 19**2)[..., None], hu, values)


@pytest.mark.parametrize(
    "values",
    [
        WHOLE,
        scan((np.s_[::4, ::4], 40, 15), base=-850, noise=70),  # lungs alone
        scan(BED),
        scan(BED).clip(-1024, None).astype(np.int16),
        padded(scan(BED), -2000),
        padded(scan(BED), -3024),
        padded(WHOLE, -2000),
        WHOLE.clip(-125, 275),
        WHOLE.clip(-1350, 150),
        np.where(WHOLE < -300, 0, WHOLE),  # the body alone
        scan((INNER, 40, 15), base=-105, noise=12),  # fat around organs
    ],
)
def test_lungs_alone_air_and_table_pads_and_windows_are_no_reason_to_doubt(values):
    assert not_hounsfield(values) is None


@pytest.mark.parametrize("case", ["img9001", "img9002"])
def test_a_real_ct_less_1024_is_told(ct_root, case):
    image = read_image(next((ct_root / "RawData").rglob(f"{case}.nii.gz"))).image
    assert not_hounsfield(image) is None
    for twice in (image - 1024, image.clip(-1024) - 1024, image - 1000):
        assert not_hounsfield(twice).endswith("they look like HU - 1024")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (WHOLE - 1024, "they look like HU - 1024"),
        (WHOLE * 0.5, "the air around the body at -500"),
        ((WHOLE - WHOLE.mean()) / WHOLE.std() * 200, "the air around the body at -"),
        (WHOLE * 10, "more than 1 % of them below -3500"),
    ],
)
def test_shifted_and_scaled_values_are_told(values, part):
    assert part in not_hounsfield(values)


@pytest.mark.parametrize("shift", [0, 1024, -1024, 3000])
def test_the_order_of_voxels_in_memory_is_no_matter(shift):
    random = np.random.default_rng(0)
    values = np.float32(random.choice([-1000, -90, 40, 60], (16, 20, 24))) + shift
    values += random.normal(0, 5, values.shape).astype(np.float32)
    turned = np.asfortranarray(values)
    assert not_hounsfield(values) == not_hounsfield(turned)
    assert judge_values(values) == judge_values(turned)
