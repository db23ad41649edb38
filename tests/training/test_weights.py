"""Weights as values: told apart by every bit, copied, put in place and taken away again."""

import pytest
import torch
from torch import nn

from segtrace.checkpoint.loading import in_channels_last
from segtrace.training.weights import copied, fingerprint, in_place


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_equal_weights_have_one_fingerprint_and_every_bit_counts():
    made = net()
    assert fingerprint(made) == fingerprint(net())
    seen = {fingerprint(made)}
    for tensor in made.state_dict().values():
        bits = tensor.flatten()
        bits[:1] = torch.nextafter(bits[:1], bits[:1] + 1) if bits.is_floating_point() else 7
        seen.add(fingerprint(made))
    assert len(seen) == 1 + len(made.state_dict())


def test_a_name_and_a_type_count_too_and_any_type_will_do():
    one, other = nn.Module(), nn.Module()
    one.register_buffer("a", torch.zeros(2))
    other.register_buffer("b", torch.zeros(2))
    assert fingerprint(one) != fingerprint(other)
    found = set()
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.bool, torch.int8):
        other.b = torch.zeros(2, dtype=dtype)
        found.add(fingerprint(other))
    assert len(found) == 5


def test_the_layout_in_memory_is_taken_as_it_lies():
    made = in_channels_last(net())
    before = fingerprint(made)
    assert fingerprint(made) == before
    made[0].weight.data[0, 1, 0, 0] += 1
    assert fingerprint(made) != before


def test_a_copy_stays_as_it_was_and_its_memory_is_used_again():
    made = net()
    first = copied(made)
    before = {name: value.clone() for name, value in first.items()}
    made[0].weight.data += 1
    assert all(torch.equal(first[name], before[name]) for name in before)
    place = first["0.weight"].data_ptr()
    second = copied(made, into=first)
    assert torch.equal(second["0.weight"], made[0].weight)
    assert second["0.weight"].data_ptr() == place
    assert copied(nn.Linear(2, 2), into=first)["weight"].shape == (2, 2)


class Extra(nn.Conv2d):
    """With state that is no tensor."""

    def get_extra_state(self):
        return {"note": 1}

    def set_extra_state(self, state):
        pass


def test_others_are_in_place_for_the_block_and_its_own_come_back_after_an_error():
    made = nn.Sequential(Extra(1, 1, 1), nn.BatchNorm2d(1))
    before, parameters = fingerprint(made), list(made.parameters())
    others = {name: torch.full_like(value, 3) for name, value in copied(made).items()}
    seen = {}

    def fail():
        with in_place(made, others):
            seen.update(copied(made))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert all((value == 3).all() for value in seen.values())
    assert len(seen) == len(others)
    assert fingerprint(made) == before
    assert all(one is other for one, other in zip(made.parameters(), parameters, strict=True))
