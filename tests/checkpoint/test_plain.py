"""Values out of a file: bounded, printable, and as large as they say."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

from segtrace import InputError
from segtrace.checkpoint.plain import dense, plain, stored, tensors_of


def test_plain_values_come_back_as_they_are():
    values = {"a": 1, "b": [1.5, None, True, "liver"], "c": {"d": "x", "e": []}}
    assert plain(values, "x") == values
    assert plain(OrderedDict(a=(1, 2)), "x") == {"a": [1, 2]}
    tensor = torch.ones(2, requires_grad=True)
    assert torch.equal(plain([tensor], "x")[0], tensor)
    assert not plain([tensor], "x")[0].requires_grad


def test_text_is_printable_wherever_it_stands():
    found = plain({"a\x1b": ["b\nc\u202e"]}, "x")
    assert found == {r"a\x1b": [r"b c\u202e"]}


def nested(depth, width):
    value = [1]
    for _ in range(depth):
        value = [value] * width
    return value


def endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (endless(), "holds more than a checkpoint of train.py does"),
        (nested(60, 10), "holds more than"),  # 10^60 values, named again and again
        (nested(8, 10), "holds more than"),
        (b"x", "holds a bytes"),
        ({1, 2}, "holds a set"),
        (1j, "holds a complex"),
        (torch.float32, "holds a dtype"),
        (np.float64(1), None),
        (np.ones(3), "holds a ndarray"),
        ({1: 2}, "holds the key 1"),
        ({"a\x1b": 1, r"a\x1b": 2}, r"holds the name 'a\\\\x1b' twice"),
        ("x" * 10_001, "holds a text of 10001 letters"),
        (torch.zeros(1).expand(10**9), "holds a tensor that is not stored"),
        (torch.zeros(2, 2).to_sparse(), "holds a tensor that is not stored"),
        (torch.zeros(10**6, device="meta"), "holds a tensor that is not stored"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_one_line(value, message):
    if message is None:  # a number like any other
        assert plain({"a": value}, "x.ckpt") == {"a": value}
        return
    with pytest.raises(InputError, match=rf"^x\.ckpt {message}") as caught:
        plain({"a": value} if not isinstance(value, dict) else value, "x.ckpt")
    assert len(str(caught.value)) < 300


def test_a_dict_whose_methods_a_file_replaced_is_gone_through_all_the_same():
    odd = OrderedDict(a=1)
    odd.__dict__["items"] = "text"  # as a pickled OrderedDict can bring along
    assert plain(odd, "x") == {"a": 1}


def test_what_tensors_share_is_stored_once():
    one = torch.zeros(100)
    assert stored([one, one[:50], one.view(10, 10)]) == 400
    assert stored([one, torch.zeros(100)]) == 800
    assert dense(one[::2])


def test_the_tensors_of_a_state_dict_are_those_under_its_words():
    state = {"net.a": torch.ones(1), "net.b": 3, "loss.c": torch.ones(1), 5: torch.ones(1)}
    assert list(tensors_of(state, "net.", "x.ckpt")) == ["a"]
    with pytest.raises(InputError, match=r"x.ckpt: weight net.a is not stored value by value"):
        tensors_of({"net.a": torch.zeros(1).expand(10**9)}, "net.", "x.ckpt")
