import json
import math
from dataclasses import replace

import numpy as np
import pytest

from segtrace.data.datamodule import CaseDataModule
from segtrace.data.labels import BTCV, organ_table
from segtrace.data.preprocessing import Preprocessing, labels_of, organ_areas
from segtrace.data.sources import RawSource
from segtrace.data.views.windowing import NORMALISATIONS, own_window
from segtrace.errors import InputError

SETTINGS = Preprocessing((-125.0, 275.0), 48, organ_table(["liver", "spleen", "left_kidney"], BTCV))


@pytest.fixture
def source(tiny_raw):
    return RawSource(str(tiny_raw))


def test_the_window_maps_hu_to_zero_and_one(source):
    volume = source.load("0005")
    hu = np.array([-1000, -125, 75, 275, 900], dtype=np.float32)
    image = np.broadcast_to(hu[:, None, None], (5, 64, 64))
    settings = replace(SETTINGS, size=64)
    images, _ = settings.images(replace(volume, image=image))
    assert images[:, 32, 32].tolist() == [0, 0, 0.5, 1, 1]
    assert images.dtype == np.float32


def test_windowed_files_refuse_another_window(source):
    volume = replace(source.load("0005"), windowed=True)
    with pytest.raises(InputError, match=r"already clipped to \[-125.0, 275.0\]"):
        replace(SETTINGS, window=(-200.0, 300.0)).images(volume)


@pytest.mark.parametrize(
    "change",
    [{"window": (275.0, -125.0)}, {"window": (0.0, math.inf)}, {"window": (math.nan, 1.0)},
     {"window": (1e300, 2e300)}, {"window": (0.0, 1e-320)}, {"window": (-2e6, 0.0)},
     {"size": 0}, {"size": 4097}],
)  # fmt: skip
def test_impossible_settings_are_refused(change):
    with pytest.raises(InputError):
        replace(SETTINGS, **change)


def test_settings_survive_json_and_refuse_another_version():
    plain = json.loads(json.dumps(SETTINGS.to_plain()))
    assert Preprocessing.from_plain(plain) == SETTINGS
    with pytest.raises(InputError, match=r"preprocessing version 99"):
        Preprocessing.from_plain(plain | {"version": 99})


def test_an_unlabelled_volume_has_no_labels(source):
    volume = replace(source.load("0005"), label=None)
    _, geometry = SETTINGS.images(volume)
    with pytest.raises(InputError, match=r"no label belongs to this image"):
        labels_of(volume, BTCV, SETTINGS, geometry)


def test_areas_count_every_organ_on_every_slice():
    labels = np.array([[[0, 1], [1, 3]], [[2, 2], [2, 0]]], dtype=np.uint8)
    assert organ_areas(labels, 3).tolist() == [[2, 0, 1], [0, 3, 0]]


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_a_window_by_name_is_of_the_case_itself_whatever_its_unit(source, name):
    volume = source.load("0005")
    settings = replace(SETTINGS, window=name)
    images, _ = settings.images(volume)
    scaled, _ = settings.images(replace(volume, image=volume.image * 3 + 500))
    assert np.allclose(images, scaled, atol=1e-6)
    assert 0 <= images.min() < images.max() <= 1
    assert images.std() > 0.1
    constant, _ = settings.images(replace(volume, image=np.full_like(volume.image, 7)))
    assert np.isfinite(constant).all()


def test_a_window_by_name_is_that_of_its_definition():
    values = np.random.default_rng(0).gamma(2, 100, (5, 40, 40)).astype(np.float32)
    values[:, :10] = 0  # what surrounds the body
    exact = sorted(values.astype(float).ravel().tolist())
    at = [fraction * (len(exact) - 1) for fraction in (0.005, 0.995)]
    between = [
        exact[int(i)] + (i - int(i)) * (exact[int(i) + 1] - exact[int(i)]) for i in at
    ]  # linear, as numpy's default
    assert np.allclose(own_window(values, "percentile"), between)
    body = [value for value in exact if value > 0]
    mean = sum(body) / len(body)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in body) / len(body))
    assert np.allclose(own_window(values, "zscore"), (mean - 3 * deviation, mean + 3 * deviation))


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_where_the_window_is_the_cases_own_nothing_is_told_in_hu(source, tmp_path, name):
    options = {"organs": ["liver"], "size": 32, "split": {"train": ["0005"], "val": ["0006"]}}
    data = CaseDataModule(source, window=name, cache_dir=str(tmp_path), **options)
    settings = Preprocessing.from_plain(json.loads(json.dumps(data.preprocessing)))
    assert settings.window == name
    assert settings.shown == (0.0, 1.0)
    probes = data.probes(2)
    assert probes.originals is None
    assert not probes.hounsfield_known
    other = CaseDataModule(source, cache_dir=str(tmp_path), **options).probes(2)
    assert other.hounsfield_known
    assert not np.array_equal(other.images, probes.images)


@pytest.mark.parametrize("window", ["percentil", [1], None, 3])
def test_what_is_no_window_is_refused(source, window):
    with pytest.raises(InputError, match=r"data.window|did you mean percentile"):
        CaseDataModule(source, window=window, split={"train": ["0005"], "val": ["0006"]})


def test_windowed_files_have_no_window_of_their_own(source):
    volume = replace(source.load("0005"), windowed=True)
    with pytest.raises(InputError, match=r"data.window=zscore, but .* already clipped"):
        replace(SETTINGS, window="zscore").images(volume)


@pytest.mark.parametrize("window", [(-125.0, 275.0), "percentile"])
def test_slices_few_at_a_time_are_those_of_the_whole_scan_to_the_bit(source, window):
    volume = source.load("0005")
    deep = np.concatenate([volume.image, volume.image[::-1], volume.image + 7])[:21]
    volume = replace(volume, image=deep, grid=replace(volume.grid, shape=(64, 64, 21)))
    settings = Preprocessing(window, 48, {"liver": 1})
    low, high = own_window(deep, window) if isinstance(window, str) else window
    whole = (deep.clip(low, high) - np.float32(low)) / np.float32(high - low)
    images, geometry = settings.images(volume)
    assert images.tobytes() == geometry.resize_images(whole).tobytes()
    assert settings.windowed(volume).tobytes() == whole.tobytes()
