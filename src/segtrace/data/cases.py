"""Case names, and the split of a data set's cases into train, val and test."""

import re
import shlex
from collections.abc import Mapping, Sequence

import yaml

from segtrace.data.published import synapse
from segtrace.errors import InputError, unknown

TRAIN18 = tuple(sorted(synapse.TRAIN_SLICES))
TEST12 = tuple(sorted(synapse.TEST_LIST))
VAL3 = ("0027", "0028", "0037")
"""Carved from the published 18 training cases: the protocol itself has no validation set."""

PARTS = ("train", "val", "test")
Split = dict[str, tuple[str, ...]]


def case_name(value: object, available: Sequence[str]) -> str:
    """The case that a user's value names: ``9001``, ``"0010"``, ``img0010``, ``case0010``.

    Raises:
        InputError: no such case, or a value that YAML turned into another one (``0010`` is read
            as 8).

    >>> case_name("img0010", ["0009", "0010"])
    '0010'
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1000
    if not (isinstance(value, str) or whole):
        raise InputError(
            f"case name {value!r} is not text, and YAML reads 0010 as 8; quote it, "
            f"""e.g. "{available[0] if available else "0010"}"; cases: {", ".join(available)}"""
        )
    text = str(value)
    if text in available:
        return text
    bare = re.sub(r"^(img|label|case)(?=\d)", "", text)
    if bare in available:
        return bare
    raise unknown("case", text, available, "this data set")


def published_split(cases: Sequence[str]) -> Split | None:
    """18 training (3 of them for validation) and 12 test cases, for exactly the published 30."""
    if set(cases) != {*TRAIN18, *TEST12}:
        return None
    return {"train": without(TRAIN18, VAL3), "val": VAL3, "test": TEST12}


def largest_held_out(split: Split) -> str:
    """Of the parts that are not trained on the one with most cases: test, or val.

    >>> largest_held_out({"train": ("a",), "val": ("b", "c"), "test": ("d",)})
    'val'
    """
    return max(("test", "val"), key=lambda part: len(split.get(part, ())))


def listed_split(train: Sequence[str], test: Sequence[str]) -> Split | None:
    """The split of TransUNet's lists, with the validation cases carved from the training ones."""
    if not set(VAL3) < set(train):
        return None
    return {"train": without(train, VAL3), "val": VAL3, "test": tuple(test)}


def given_split(
    given: Mapping[str, Sequence[object]],
    cases: Sequence[str],
    held_out: Sequence[str] = (),
    validated: bool = True,
) -> Split:
    """A user's split, each name resolved; ``test`` may be left out, or all that is trained on.

    Args:
        given: part -> cases.
        cases: all of the data set.
        held_out: those of them that a proposal keeps for the test.
        validated: whether ``val`` must be there, beside ``train``.

    Raises:
        InputError: an unknown part or case, a part that is missing or empty, a case named twice.
    """
    for part in given if isinstance(given, Mapping) else ():
        if part not in PARTS:
            raise unknown("part of the split", part, PARTS)
    named = [part for part in PARTS if isinstance(given, Mapping) and given.get(part)]
    unvalidated = validated and "train" in named and "val" not in named
    if not named or unvalidated:
        raise InputError(f"data.split needs both train and val; {remedy(cases, held_out)}")
    split = {
        part: tuple(case_name(value, cases) for value in _listed(given.get(part))) for part in PARTS
    }
    names = [name for part in PARTS for name in split[part]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"case {twice[0]} is named twice in data.split={split}; a case that was trained on "
            "says nothing about others: name each case once"
        )
    return split


def _listed(values: object) -> Sequence[object]:
    """One case may stand without brackets."""
    if values is None:
        return ()
    return values if isinstance(values, Sequence) and not isinstance(values, str) else (values,)


def remedy(cases: Sequence[str], held_out: Sequence[str] = ()) -> str:
    """The cases found, and the override that splits them; or that they are too few.

    Args:
        cases: all of the data set.
        held_out: those that are for the test alone, and so are proposed for nothing else.
    """
    split, found = proposed_split(cases, held_out), f"cases found: {', '.join(cases)}"
    if not (split["train"] and split["val"]):
        return f"{found}; a training takes two and more, to train on and to validate"
    parts = ", ".join(
        f"{part}: [{', '.join(map(_typed, names))}]" for part, names in split.items() if names
    )
    override = shlex.quote(f"data.split={{{parts}}}")
    return f"{found}; give e.g. {override}"


def _typed(name: str) -> str:
    """A case's name as an override may hold it: what YAML would not read as this text is quoted."""
    if re.fullmatch(r"[1-9]\d{3,}", name):
        return name
    words = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
    if words and yaml.safe_load(name) == name:
        return name
    return '"' + name.replace('"', r"\"") + '"'


def proposed_split(cases: Sequence[str], held_out: Sequence[str] = ()) -> Split:
    """A split of any cases: the published parts of those that are published, if most are.

    The validation cases are the published ones, or else the last; a place for which no case is
    left is empty.
    """
    published = [case for case in cases if case in (*TRAIN18, *TEST12)]
    test = [*held_out] or [case for case in TEST12 if case in published]
    if not held_out and 2 * len(published) <= len(cases):
        test = []
    rest = without(cases, test)
    val = tuple(case for case in VAL3 if case in rest) if test else ()
    val = val if 0 < len(val) < len(rest) else rest[-1:]
    return {
        "train": without(rest, val),
        "val": val,
        "test": tuple(case for case in test if case in cases),
    }


def without(cases: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The cases that are not among the others, in order."""
    return tuple(case for case in cases if case not in others)
