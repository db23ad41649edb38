"""Short options that stand for a study and its options; written out before Hydra reads them."""

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from segtrace.cli.command_line import parse
from segtrace.errors import InputError

STUDIES = {
    "runs": "seeds",
    "verdict": "faithfulness",
    "volume": "volumes",
    "cases": "volumes",
    "cut": "ablation",
    "evaluate": "evaluate",
    "protocol": "evaluate",
}
"""Short option -> the study that it asks for."""
SWITCHES = ("verdict", "volume", "evaluate")
"""Those that say no more than that."""
SHORT = (*STUDIES, "failures", "shared_scale", "smooth")
"""All short options; the others than switches are options of the study."""
ALIASES = {"cut": "ablation", "verdict": "faithfulness"}
ALONE = {
    "seeds": "runs are compared by the tables they left",
    "faithfulness": "maps are judged on labelled slices, by cuts",
    "volumes": "all slices are explained, and none is cut",
    "evaluate": "whole cases are scored, and none is explained",
}
"""Studies that take nothing of another one, and why."""


def written_out(arguments: Sequence[str]) -> list[str]:
    """The arguments of ``explain.py``, each short option as the study and the option it stands for.

    What cannot be read is left as it is, to be refused with a remedy.

    Raises:
        InputError: short options that ask for two studies; a switch that is not true or false.

    >>> written_out(["checkpoint=a.ckpt", "cut=zero"])
    ['checkpoint=a.ckpt', 'study=ablation', 'study.cut=zero']
    >>> written_out(["study=paper_figure", "cut=zero", "volume=false"])
    ['study=paper_figure', 'study.cut=zero']
    """
    typed = {argument: found for argument in arguments if (found := _read(argument))}
    given = {found.key_or_group: found for found in typed.values()}
    named = _named(given)
    asked = [key for key in STUDIES if key in given and _asks(key, given[key])]
    _check_one_study(named, asked)
    chosen = STUDIES[asked[0]] if asked and named is None else None
    out: list[str] = []
    for argument in arguments:
        key = typed[argument].key_or_group if argument in typed else ""
        if chosen is not None and key == asked[0]:
            out.append(f"study={chosen}")
        if key not in SHORT:
            out.append(argument)
        elif key not in SWITCHES:
            out.append(f"study.{argument.lstrip('+')}")
    return out


def _read(argument: str) -> Override | None:
    """What is typed; nothing of flags, of what is taken out, and of what has no reading."""
    try:
        found = parse(argument)
    except HydraException:
        return None
    return None if found.is_delete() else found


def _named(given: Mapping[str, Override]) -> str | None:
    """The study that is named itself."""
    name = given["study"].value() if "study" in given else None
    return ALIASES.get(name, name) if isinstance(name, str) else None


def _asks(key: str, found: Override) -> bool:
    """Whether a short option asks for its study."""
    value = found.value()
    if key in SWITCHES and not isinstance(value, bool):
        raise InputError(f"{found.input_line}; give true or false")
    return value is not None and value is not False


def _check_one_study(named: str | None, asked: Sequence[str]) -> None:
    """One study at a time; a cut goes with every kind of slices."""
    said = {STUDIES[key]: key for key in reversed(asked)}
    if named is not None and (named in ALONE or set(said) & set(ALONE)):
        said.setdefault(named, f"study={named}")
    first = next((study for study in ALONE if study in said), None)
    others = [key for study, key in said.items() if study != first]
    if first is not None and others:
        raise InputError(
            f"{said[first]} and {others[0]} do not go together: {ALONE[first]}; leave {others[0]} "
            "out"
        )
