"""Reading a loader moves no generator that a training might draw from, wherever it hides."""

import random
from collections import deque
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset

from segtrace.training.slices.carried import generators_of, unchanged_by_reading

OF_THE_MODULE = np.random.default_rng(0)


def helper():
    return sum(OF_THE_MODULE.random() for _ in range(2))


class Items(Dataset):
    """Draws where it is told to."""

    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([index, self.draw()])


class Slotted:
    __slots__ = ("mine", "unset")

    def __init__(self):
        self.mine = random.Random(4)

    def __call__(self):
        return self.mine.random()


class Shared:
    """As MONAI's random transforms: one generator for all that have none of their own."""

    R = np.random.RandomState(5)

    def __call__(self):
        return self.R.rand()


class Wrapped:
    chain = (Shared(),)

    def __call__(self):
        return self.chain[0]()


class Naming:
    @staticmethod
    def inner():
        return helper()

    def __call__(self):
        return self.inner()


def closing():
    mine = torch.Generator().manual_seed(6)
    return lambda: float(torch.rand((), generator=mine))


def defaults(mine=np.random.default_rng(7)):  # noqa: B008 (where a user might keep one)
    return mine.random()


DRAWS = {
    "python": lambda: random.random(),
    "numpy": lambda: np.random.rand(),
    "torch": lambda: float(torch.rand(())),
    "a class": Shared(),
    "an attribute of a class": Wrapped(),
    "a slot": Slotted(),
    "a module": Naming(),
    "a closure": closing(),
    "a default": defaults,
    "a partial": partial(lambda mine: mine.random(), np.random.default_rng(8)),
    "a method": random.Random(9).random,
    "another method": np.random.default_rng(11).random,
    "a method of our own": Shared().__call__,
    "a container": deque([np.random.RandomState(10)]),
}


def items(name):
    draw = DRAWS[name]
    return Items((lambda: draw[0].rand()) if name == "a container" else draw)


@pytest.mark.parametrize("name", DRAWS)
def test_a_data_set_goes_on_as_if_it_had_not_been_read(name):
    data = Subset(items(name), [0, 1, 2])
    loader = DataLoader(data, batch_size=2)
    with unchanged_by_reading(loader):
        first = torch.cat(list(loader))
        assert not torch.equal(first, torch.cat(list(loader)))  # it does draw
    assert torch.equal(first, torch.cat(list(loader)))


@pytest.mark.parametrize("where", ["loader", "sampler"])
def test_a_generator_that_two_loaders_share_stands_where_it_stood(where):
    shared = torch.Generator().manual_seed(1)
    data = torch.arange(16)
    if where == "loader":
        loader = DataLoader(data, generator=shared)
    else:
        loader = DataLoader(data, sampler=RandomSampler(data, generator=shared))
    training = DataLoader(data, batch_size=16, shuffle=True, generator=shared)
    before = shared.get_state()
    expected = next(iter(training))
    shared.set_state(before)
    with unchanged_by_reading(loader):
        list(loader)
        assert not torch.equal(shared.get_state(), before)
    assert torch.equal(next(iter(training)), expected)


def test_a_generator_of_the_operating_system_has_no_state_to_keep():
    with unchanged_by_reading(Items(random.SystemRandom().random)) as nothing:
        assert nothing is None


def test_what_refers_to_itself_is_looked_at_once():
    ring = [np.random.default_rng(0)]
    ring += [ring, {"again": ring}]
    assert generators_of(ring) == [ring[0]]


def test_what_is_done_to_samples_is_found_before_a_table_of_them_is_searched(monkeypatch):
    monkeypatch.setattr("segtrace.training.slices.carried.MOST", 4_000)
    draw = Wrapped()
    data = Items(draw)
    for name in ("a_table", "z_table"):  # before and after it among the attributes
        vars(data)[name] = [{"image": [row]} for row in range(4_000)]
    vars(data)["draw"] = vars(data).pop("draw")
    assert Shared.R in generators_of(DataLoader(data))
