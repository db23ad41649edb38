import pickle

import numpy as np

from segtrace.data.augment import Augmentation
from segtrace.data.labels import BTCV, organ_table
from segtrace.data.prepare import prepare
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sampling import EpochSampler, Slices
from segtrace.data.sources import RawSource


def test_the_sampler_asks_for_the_epoch_when_iteration_starts():
    epoch = [0]
    sampler = EpochSampler(6, 0, lambda: epoch[0])
    epoch[0] = 2
    assert list(sampler) == list(EpochSampler(6, 0, lambda: 2))


def test_every_pass_is_a_permutation_and_the_last_may_be_cut():
    draws = list(EpochSampler(5, 1, lambda: 7, draws=13))
    assert {epoch for epoch, *_ in draws} == {7}
    assert [turn for _, turn, _ in draws] == [0] * 5 + [1] * 5 + [2] * 3
    assert sorted(index for _, _, index in draws[:5]) == [*range(5)]
    assert sorted(index for _, _, index in draws[5:10]) == [*range(5)]
    assert len({index for _, _, index in draws[10:]}) == 3


def test_slices_travel_to_workers_as_paths_not_as_pixels(tiny_raw, tmp_path):
    settings = Preprocessing((-125.0, 275.0), 224, organ_table(["liver"], BTCV))
    cases = prepare(RawSource(str(tiny_raw)), ["0005", "0006"], settings, tmp_path)
    slices = Slices(cases, seed=1, augmentation=Augmentation())
    sent = pickle.dumps(slices)
    assert len(sent) < 10_000 < 224 * 224
    assert np.array_equal(pickle.loads(sent)[2, 0, 9]["image"], slices[2, 0, 9]["image"])
