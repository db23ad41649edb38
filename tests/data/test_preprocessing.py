import json
import math
from dataclasses import replace

import numpy as np
import pytest

from segtrace.data.labels import BTCV, organ_table
from segtrace.data.preprocessing import Preprocessing, labels_of, organ_areas
from segtrace.data.sources import RawSource
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
