"""What was typed, read as Hydra will read it, so that what it refuses is told with a remedy."""

import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.errors import HydraException

from segtrace.cli.groups import LISTED, check_choice, check_named, without_null
from segtrace.errors import InputError, printable, unknown

MEANT = 3
"""Options that are named where one of several may be meant."""
CLOSING = {"[": "]", "{": "}", "(": ")"}
_PARSER = OverridesParser.create()


def readable(
    arguments: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    keys: Collection[str] = (),
    deeper: Callable[[], Sequence[str]] = tuple,
    needed: Collection[str] = (),
) -> list[str]:
    """The arguments of a script, each as Hydra takes it.

    Args:
        arguments: as the shell hands them over.
        groups: name of a group of options, ``data`` and so on -> names of the options.
        keys: of the script's YAML file; without any they are not looked at.
        deeper: gives the options that lie below those, in full, to name the one that was meant.
        needed: groups of which an option must be named.

    Raises:
        InputError: an option that begins with no such key; flags that are not known; what
            Hydra's grammar cannot read, with the form that it can; several values without
            ``-m``; a group that is set to no option of it, or to several of which it takes one.
    """
    _check_letters(arguments)
    known = _known(arguments)
    if known.shell_completion:  # install=bash is no option of ours
        return list(arguments)
    overrides: list[str] = known.overrides
    theirs = known.config_dir or known.config_path or known.config_name
    elsewhere = theirs or any(o.startswith("hydra.searchpath=") for o in overrides)
    sweeping = known.multirun or any(o.startswith("hydra.mode=") for o in overrides)
    typed: list[str] = []
    for position in range(len(overrides)):
        override = _parsed(overrides, position)
        options = groups.get(override.key_or_group)
        _check_sweep(override, overrides[position], sweeping, options is not None)
        if options is not None:
            check_choice(override, options, all_there_are=not elsewhere)
            if override.key_or_group in needed and not elsewhere:
                check_named(override, overrides[position], options)
        typed.append(override.key_or_group)
    ours = None if elsewhere else groups  # a user's own folder may hold groups of other names
    if ours is not None and keys:
        _check_keys(typed, keys, deeper)
    return [opened(without_null(argument, groups), ours) for argument in arguments]


def parse(override: str) -> Override:
    """One override by Hydra's own grammar.

    Raises:
        HydraException: what the grammar has no reading of.
    """
    return _PARSER.parse_override(override)


def _check_keys(
    typed: Iterable[str], allowed: Collection[str], deeper: Callable[[], Sequence[str]]
) -> None:
    """The first part of every option is there: the constructors, which know the rest, come late."""
    for key in typed:
        first = re.split(r"[./@]", key)[0]
        if first not in allowed and first != "hydra":
            raise unknown("option", first, allowed, nearest=_in_full(first, allowed, deeper()))


def _in_full(name: str, allowed: Collection[str], deeper: Sequence[str]) -> list[str]:
    """The options that end as this one is called; of no such end and no option, the nearest."""
    ends = {full: full.rpartition(".")[2] for full in deeper}
    alike = [name] if name in ends.values() else []
    if not alike and not get_close_matches(name, allowed):
        alike = get_close_matches(name, set(ends.values()), n=1)
    return [full for full, end in ends.items() if end in alike][:MEANT]


def opened(argument: str, groups: Collection[str] | None = None) -> str:
    """An override that may name any option, not only those which the YAML files list.

    The constructors are the schema: :func:`segtrace.cli.schema.check` knows every option and
    lists the nearest ones, where Hydra would only ask for a plus sign.

    Args:
        argument: as typed.
        groups: names of the option groups; ``None`` leaves every name without a dot alone.

    >>> opened("trainer.max_epochs=3"), opened("data=synapse"), opened("hydra.run.dir=here")
    ('++trainer.max_epochs=3', 'data=synapse', 'hydra.run.dir=here')
    >>> opened("seeed=3", ["data"]), opened("data=synapse", ["data"])
    ('++seeed=3', 'data=synapse')
    """
    key, equals, _ = argument.partition("=")
    name = key[:1].isalpha() and not set("/@") & set(key) and key.split(".")[0] != "hydra"
    open_to_all = "." in key or (groups is not None and key not in groups)
    return f"++{argument}" if equals and name and open_to_all else argument


def _known(arguments: Sequence[str]) -> Namespace:
    """Flags and overrides, told apart as Hydra will."""
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign, assignment]
    known, strange = parser.parse_known_args(list(arguments))
    for argument in strange:
        if argument.startswith("-") and argument.strip("-"):
            plain = argument.lstrip("-")
            say = plain if "=" in plain else f"{plain}=…"
            raise InputError(
                f"there is no flag {argument.partition('=')[0]}; options have no dashes: say {say}"
            )
    if strange:  # argparse takes overrides in one row
        flags = [a for a in arguments if a not in (*known.overrides, *strange)]
        raise InputError(
            f"{strange[0]} stands behind {flags[0]}; put flags first: "
            + shlex.join([*flags, *known.overrides, *strange])
        )
    if known.experimental_rerun is not None:
        raise InputError(
            "--experimental-rerun reads a pickle, which may run code; give the options again"
        )
    return known


def _refuse_flag(message: str) -> None:
    raise InputError(f"{message}; options are written key=value, without dashes; see --help")


def _parsed(overrides: Sequence[str], position: int) -> Override:
    argument = overrides[position]
    found = _parse(argument)
    if found is None or not found.key_or_group:
        raise _refusal(overrides, position)
    return found


def _parse(argument: str) -> Override | None:
    """The override; ``None`` where Hydra's grammar has no reading of it."""
    try:
        return parse(argument)
    except HydraException:
        return None


def _refusal(overrides: Sequence[str], position: int) -> InputError:
    """Why an argument cannot be read, and the form that can."""
    argument = overrides[position]
    key, equals, value = argument.partition("=")
    if (whole := _torn_at_equals(overrides, position)) is not None:
        return InputError(f"there are spaces around =; say {shlex.quote(whole)}")
    if (whole := _torn_in_brackets(overrides, position)) is not None:
        return InputError(
            f"{argument}: the shell splits at spaces; in quotes it does not: {shlex.quote(whole)}"
        )
    if not equals:
        return InputError(f"{argument!r} has no value; options are key=value: {_example(argument)}")
    if _parse(f"{key}=x") is None or not key:
        return InputError(f"{argument}: {key!r} is no name of an option; give key=value")
    if not argument.isprintable():
        return InputError(
            f"{printable(argument)}: Hydra reads {_unprinted(argument)} in quotes alone; say "
            f"'{key}=\"…\"' with the value between them, or rename the file or folder"
        )
    readings = ((form, _parse(f"{key}={form}")) for form in _forms(value))
    form = next(form for form, found in readings if found and not found.is_sweep_override())
    cannot = f"{argument}: Hydra cannot read this value as it stands"
    say = f"say {shlex.quote(f'{key}={form}')}"
    if form != quoted(value):
        return InputError(f"{cannot}; {say}")
    if value[:1] == "{" and value[-1:] == "}":  # which text is not
        return InputError(
            f"{cannot}; keys of a mapping are letters, digits and _ without quotes, as in "
            f"{shlex.quote(f'{key}={{enc1: conv_0}}')}"
        )
    if key.rpartition(".")[2].endswith("seed"):
        return InputError(f"{cannot}; give a whole number, {key}=0")
    return InputError(f"{cannot}; where text is wanted, {say}")


def _unprinted(text: str) -> str:
    """What is in a text that is not printed, in words."""
    if _is_torn(text):
        return "bytes that are no UTF-8"
    return "line breaks" if {"\n", "\r"} & {*text} else "letters that are not printed"


def _example(argument: str) -> str:
    """How an argument without a value may have been meant."""
    if argument.endswith(".ckpt"):
        one, other = (shlex.quote(f"{key}={quoted(argument)}") for key in ("checkpoint", "resume"))
        return f"say {one} to explain.py, {other} to train.py"
    if argument.lstrip("+~") and _parse(f"{argument}=x") is not None:
        return f"say {argument}=…"
    return "say key=…"


def _torn_at_equals(overrides: Sequence[str], position: int) -> str | None:
    """``key = value`` as one argument, where the shell, or quotes, left it in pieces."""
    argument = overrides[position]
    key, _, value = argument.partition("=")
    whole = [f"{key.strip()}={value.strip()}"] if key != key.strip() else []
    for first in range(max(0, position - 2), position + 1):
        for last in range(min(len(overrides), first + 3), max(position, first + 1), -1):
            pieces = overrides[first:last]
            edges = [p.endswith("=") or q.startswith("=") for p, q in pairwise(pieces)]
            if all(edges) and sum(p.count("=") for p in pieces) == 1:
                whole.append("".join(pieces))
    return next((one for one in whole if (found := _parse(one)) and found.key_or_group), None)


def _torn_in_brackets(overrides: Sequence[str], position: int) -> str | None:
    """A list or mapping with spaces in it, which the shell took apart."""
    for last in range(position + 2, len(overrides) + 1):
        whole = " ".join(overrides[position:last])
        if not _unclosed(whole) and "=" in overrides[position]:
            return whole if _unclosed(overrides[position]) and _parse(whole) else None
    return None


def _unclosed(text: str) -> str:
    """The brackets that would close those which are open, outside quotes."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    stack: list[str] = []
    for letter in bare:
        if letter in CLOSING:
            stack.append(CLOSING[letter])
        elif stack and letter == stack[-1]:
            stack.pop()
    return "".join(reversed(stack))


def _forms(value: str) -> Iterator[str]:
    """The value as it may have been meant, in forms that Hydra may read; the last is plain text."""
    value = value.strip().lstrip("=")
    if value.startswith("~"):
        yield _at_home(value)
        yield quoted(_at_home(value))
    if value[:1] in ("'", '"') or value[-1:] in ("'", '"'):  # a quote without its other half
        yield quoted(value.strip("'\""))
    if value[:1] in ("[", "{"):
        whole = value + _unclosed(value)
        yield whole
        yield re.sub(r"[^\[\]{},:]+" if "{" in whole else r"[^\[\]{},]+", _quoted_item, whole)
    yield quoted(value)


def _quoted_item(found: re.Match[str]) -> str:
    """An item of a list or mapping, in quotes where it needs them."""
    item = found[0].strip()
    return item if not item or _parse(f"x={item}") is not None else quoted(_at_home(item))


def _at_home(path: str) -> str:
    """The path in full, where a shell would have put the home folder in the place of ``~``."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def quoted(text: str) -> str:
    """The text in Hydra's quotes: double ones, since the shell's are single."""
    return QuotedString(text=text, quote=Quote.double).with_quotes()


def _check_sweep(override: Override, argument: str, sweeping: bool, is_group: bool) -> None:
    """Several values are a sweep, and a sweep has some."""
    if not override.is_sweep_override():
        return
    if not sweeping:
        listed = override.key_or_group in LISTED or not is_group
        as_one = _as_one(override, argument, is_group) if listed else ""
        raise InputError(
            f"{argument}: several values;{as_one} to run each of them, say "
            f"-m {shlex.quote(argument)}"
        )
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP and not is_group:
        raise InputError(f"{argument}: glob(…) chooses among the options of a group, as data is")
    if override.value_type == ValueType.RANGE_SWEEP and not [*override.sweep_iterator()]:
        raise InputError(f"{argument}: an empty range, so there is nothing to run")


def _as_one(override: Override, argument: str, is_group: bool) -> str:
    """Values with commas between them may be meant as one list, or, but of a group, as one text."""
    if override.value_type != ValueType.SIMPLE_CHOICE_SWEEP:
        return ""
    key, _, value = argument.partition("=")
    listed, text = (shlex.quote(f"{key}={form}") for form in (f"[{value}]", quoted(value)))
    return f" a list is {listed};" if is_group else f" a list is {listed}, one text is {text};"


def _check_letters(arguments: Sequence[str]) -> None:
    """Refuse letters that the locale does not know, and that no file would be found by."""
    strange = next((one for one in arguments if not one.isprintable() and _is_torn(one)), None)
    if strange is None or sys.getfilesystemencoding() == "utf-8":
        return
    letters = strange.encode(errors="surrogateescape").decode(errors="replace")
    raise InputError(
        f"{letters!a}: the locale of this terminal (LC_ALL, LC_CTYPE or LANG) does not know its "
        "letters; set LC_ALL=C.UTF-8"
    )


def _is_torn(text: str) -> bool:
    """Whether bytes stand in it that Python could not read as letters."""
    return any("\udc80" <= letter <= "\udcff" for letter in text)
