import os
import pickle
import shutil
from multiprocessing import resource_sharer

import numpy as np
import pytest
import torch

from helpers.prepared import prepare
from segtrace.data.augment import Augmentation
from segtrace.data.cache.entries import LostSlicesError
from segtrace.data.labels import BTCV, organ_table
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sampling import (
    EpochSampler,
    Loader,
    Slices,
    threads_that_prepare,
    workers_beside,
)
from segtrace.data.sources import RawSource


@pytest.fixture
def slices(tiny_raw, tmp_path):
    settings = Preprocessing((-125.0, 275.0), 48, organ_table(["liver"], BTCV))
    cases = prepare(RawSource(str(tiny_raw)), ["0005", "0006"], settings, tmp_path)
    return Slices(cases, seed=1, augmentation=Augmentation())


def drawn(batches):
    return [(*batch["case"], *batch["slice"].tolist()) for batch in batches]


def same(one, other):
    """Whether two loaders' batches are the same bits."""
    return len(one) == len(other) and all(
        torch.equal(a["image"], b["image"]) and torch.equal(a["label"], b["label"])
        and (a["case"], a["slice"].tolist()) == (b["case"], b["slice"].tolist())
        for a, b in zip(one, other, strict=True)
    )  # fmt: skip


def by_hand(slices, epoch, batch_size=3):
    """What an epoch is, without any loader."""
    draws = list(EpochSampler(len(slices), 1, lambda: epoch))
    rows = [[slices[draw] for draw in draws[at : at + batch_size]]
            for at in range(0, len(draws), batch_size)]  # fmt: skip
    return [torch.utils.data.default_collate(row) for row in rows]


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


def kept_loader(slices, epoch, workers, kept=True, context=None):
    return Loader(
        slices, batch_size=3, sampler=EpochSampler(len(slices), 1, lambda: epoch[0]),
        num_workers=workers, persistent_workers=kept and workers > 0, generator=torch.Generator(),
        multiprocessing_context=context,
    )  # fmt: skip


@pytest.mark.parametrize(("workers", "kept"), [(0, False), (1, True), (2, False), (2, True)])
def test_batches_are_the_same_bits_whatever_loads_them(slices, workers, kept):
    epoch = [0]
    loader = kept_loader(slices, epoch, workers, kept)
    for now in (0, 1, 5, 1):
        early = iter(loader)  # as Lightning does, before it knows the epoch
        epoch[0] = now
        assert same([next(early)], by_hand(slices, now)[:1])  # and broken off
        assert same(list(loader), by_hand(slices, now))
    assert drawn(by_hand(slices, 0)) != drawn(by_hand(slices, 1))


@pytest.mark.long
def test_batches_are_the_same_bits_where_processes_start_from_nothing(slices):
    epoch = [0]
    loader = kept_loader(slices, epoch, 2, context="spawn")
    for epoch[0] in (0, 3):
        assert same(list(loader), by_hand(slices, epoch[0]))


@pytest.mark.parametrize(("workers", "damage"), [(0, "gone"), (1, "gone"), (0, "cut short")])
def test_a_slice_that_cannot_be_read_any_more_is_named(slices, workers, damage):
    folder = slices.cases[1].folder
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        os.truncate(folder / "label.npy", 300)
    with pytest.raises(LostSlicesError) as caught:
        list(Loader(slices, batch_size=16, num_workers=workers, generator=torch.Generator()))
    words = str(caught.value)
    assert words.startswith(f"case 0006, slice 0: {folder}/")
    assert ".npy was taken away or changed while it was in use (" in words
    assert words.endswith("; the next start makes it anew")
    assert "Traceback" not in words


@pytest.mark.parametrize("error", [
    ConnectionResetError(104, "reset"), ConnectionRefusedError(111, "refused"), EOFError(),
    FileNotFoundError(2, "no such socket"),
])  # fmt: skip
def test_a_batch_whose_worker_ended_before_it_was_fetched_is_told_as_torch_tells_it(
    slices, monkeypatch, error
):
    def ended(*_):
        raise error

    monkeypatch.setattr(resource_sharer._resource_sharer, "get_connection", ended)
    with pytest.raises(RuntimeError, match="DataLoader worker exited unexpectedly"):
        list(kept_loader(slices, [0], workers=1))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_dataset_itself_cannot_open_is_told_as_it_is(slices, monkeypatch, workers):
    def missing(*_):
        raise FileNotFoundError(2, "not here")

    monkeypatch.setattr(Slices, "__getitem__", missing)
    with pytest.raises(FileNotFoundError, match="not here"):
        list(kept_loader(slices, [0], workers))


@pytest.mark.parametrize(("cores", "processes", "found"), [
    (1, 1, 1), (2, 1, 1), (6, 1, 5), (64, 1, 8), (16, 4, 3),
])  # fmt: skip
def test_a_gpu_is_fed_by_the_cores_that_are_there(monkeypatch, cores, processes, found):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert workers_beside("cuda", processes) == found
    assert workers_beside("cpu", processes) == 0
    assert threads_that_prepare(0) == min(cores, 2)
    assert threads_that_prepare(5) == 5


def test_what_loads_and_prepares_keeps_to_the_allotment_as_threads_do(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert workers_beside("cuda") == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert (workers_beside("cuda"), threads_that_prepare(0)) == (1, 1)
