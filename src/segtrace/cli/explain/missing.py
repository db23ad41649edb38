"""What is not there of what was typed, told before torch is imported: a checkpoint, an option."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from segtrace.cli.command_line import parse
from segtrace.cli.configuration import CONF
from segtrace.cli.explain.shorthand import ALIASES
from segtrace.errors import InputError, unknown
from segtrace.integrations import FOREIGN
from segtrace.studies.inputs.named_paths import paths_of

NOTHING = (
    "say what to explain: checkpoint=…, or net=module:builder weights=…; or runs=… to compare seeds"
)


def refuse_missing(arguments: Sequence[str]) -> None:
    """Refuse what names nothing that is there; what cannot be told yet is told later.

    Args:
        arguments: of ``explain.py``, each as Hydra takes it.

    Raises:
        InputError: nothing at all to explain; a checkpoint, see
            :func:`segtrace.studies.inputs.named_paths.paths_of`; an option that the study lacks.
    """
    if any(argument.startswith(("-", "hydra.searchpath=")) for argument in arguments):
        return  # help, a sweep, a folder of the user's own options
    typed = {override.key_or_group: override for override in map(parse, arguments)}
    if not typed and _names_nothing(_read("explain")):
        raise InputError(NOTHING)
    if "checkpoint" in typed and typed.keys().isdisjoint(FOREIGN):  # there a name in their folder
        value = typed["checkpoint"].value()
        names = value if isinstance(value, list) else [value]
        paths_of([name for name in names if isinstance(name, str) and name and "${" not in name])
    _refuse_option_of_study(typed)


def _names_nothing(options: Mapping[str, Any]) -> bool:
    """Whether the file of the options, which a user may have changed, leaves all to be typed."""
    asked = (options.get(key) for key in ("checkpoint", "net", *FOREIGN))
    return not any(asked) and {"study": "slices"} in options["defaults"]


def _refuse_option_of_study(typed: Mapping[str, Override]) -> None:
    """The file of a study holds every option that it has."""
    name = typed["study"].value() if "study" in typed else "slices"
    path = f"study/{ALIASES.get(name, name)}" if isinstance(name, str) else ""
    own = [key for key, override in typed.items()
           if key.startswith("study.") and not override.is_delete()]  # fmt: skip
    if not own or "study._target_" in own or not (CONF / f"{path}.yaml").is_file():
        return
    held = _read(path)
    options = [f"study.{key}" for key in held.get("study", held) if not key.startswith("_")]
    for key in own:
        option = ".".join(key.split(".")[:2])
        if option not in options and not option.startswith("study._"):
            raise unknown("option", option, options)


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return found
