"""Global random state is as it was, whoever draws meanwhile."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import segtrace
from attribution import nets
from segtrace.attribution import targets
from segtrace.attribution.generators import unchanged_generators


def draws():
    """The next number of every global generator on the CPU."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed():
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)


def untouched():
    seed()
    return draws()


def test_every_global_generator_goes_on_as_if_nothing_had_been_drawn():
    seed()
    with unchanged_generators():
        inside = draws()
        draws()
    assert draws() == inside == untouched()


def test_it_holds_after_an_exception_and_as_a_decorator():
    @unchanged_generators()
    def fails():
        draws()
        raise RuntimeError

    seed()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            fails()
    assert draws() == untouched()


def test_numpys_generator_may_be_of_another_kind():
    kept = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(5))
    try:
        with unchanged_generators():
            inside = np.random.rand()
        assert np.random.rand() == inside
    finally:
        np.random.set_bit_generator(kept)


class Drawing(nn.Conv2d):
    """A layer that draws from all of them, in evaluation too."""

    def forward(self, x):
        return super().forward(x) * (1 + sum(draws()))


def test_a_network_that_draws_leaves_no_mark_when_traced():
    net = nn.Sequential(Drawing(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    seed()
    segtrace.trace(net, {"enc1": "1", "head": "2"}, nets.images(2, 16), targets.organ(1, "all"))
    assert draws() == untouched()
