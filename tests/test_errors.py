"""A message is one line that a terminal only shows, whatever it quotes."""

import pickle

import numpy as np
import pytest

from segtrace import InputError
from segtrace.errors import guarded, printable, unknown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("liver", "liver"),
        ("left kidney, 5 mm² · Größe 肝臓", "left kidney, 5 mm² · Größe 肝臓"),
        ("no\xa0break, \u200czero width", "no\xa0break, \u200czero width"),
        ("red \x1b[31m", r"red \x1b[31m"),
        ("\x9b31m \x00 \x7f \b", r"\x9b31m \x00 \x7f \x08"),
        ("two\nlines\r\nand\ttabs\u2028", "two lines  and tabs "),
        ("txt.\u202egpj", r"txt.\u202egpj"),
        ("half a letter \udcff", r"half a letter \udcff"),
    ],
)
def test_control_codes_are_spelled_out_and_letters_stay(text, shown):
    assert printable(text) == shown
    assert str(InputError(text)) == shown


def test_of_a_long_text_the_middle_is_left_out():
    assert printable("a" * 50 + "b" * 50, longest=20) == "a" * 10 + " … " + "b" * 10
    assert len(str(InputError("x" * 10**6))) < 5000


def test_a_message_that_quotes_a_name_is_one_line():
    error = unknown("stage", "enc\n1\x1b[2J", ["enc1"], "this network")
    assert str(error).startswith(r"no stage 'enc\n1\x1b[2J'; this network has enc1")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_whole_numbers_of_numpy_are_handed_on_as_pythons():
    @guarded({name: lambda _name, _value: None for name in ("one", "rest", "named")})
    def kinds(one, *rest, named=None):
        return one, rest, named

    seven = np.int64(7)
    one, rest, named = kinds(seven, seven, (np.uint8(1), 2), named={"a": seven, "b": "c"})
    assert (one, rest, named) == (7, (7, (1, 2)), {"a": 7, "b": "c"})
    assert {type(v) for v in (one, rest[0], *rest[1], named["a"])} == {int}
    kept = [1, 2], {"a": 1}, True, 1.5
    assert all(kinds(value)[0] is value for value in kept)
