"""What ``explain.py`` may be asked: every key of conf/explain.yaml, and what it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from segtrace.cli.command_line import quoted
from segtrace.cli.limits import DEVICES
from segtrace.data.limits import LARGEST_SEED
from segtrace.errors import InputError
from segtrace.training.construction import in_yaml

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1)]
File = Annotated[Text | None, "the name of a file, as text"]
Files = Annotated[Text | Texts | None, "a name, a list of names, or a glob in quotes, as text"]
Names = Annotated[Text | Texts | None, "names, [one, two], as text"]
Group = dict[str, Any]
Rules = Annotated[
    Text | Annotated[list[Text | Group], Field(min_length=1)] | None,
    "names, [one, two], as text",
]


@dataclass(frozen=True)
class Options:
    """The keys of conf/explain.yaml; beside each type, what it is in words.

    Data, study and trainer are held against the classes that they name, not here.
    """

    checkpoint: Files
    net: Annotated[Text | None, "module:function, as text"]
    weights: File
    stages: Names
    edges: File
    output: Annotated[Text | int | None, "an index, a key, a field, or module:function"]
    preprocessing: Annotated[Group | None, "{window: [low, high], mean: …, std: …}"]
    nnunet: Annotated[Text | None, "the name of a folder, as text"]
    fold: Annotated[
        Annotated[int, Field(ge=0, le=999)] | Literal["all"] | None, "its number, or all"
    ]
    bundle: Annotated[Text | None, "the name of a folder, as text"]
    model: Annotated[Group, "its options one by one, model.activation=sigmoid"]
    untrained: File
    image: File
    log_dir: Annotated[Text | None, "the name of a folder, as text"]
    rules: Rules
    region: Annotated[Text | None, "a name, as text"]
    score: Annotated[Text | None, "a name, as text"]
    organs: Names
    measures: Annotated[Literal["leading", "all"] | None, "leading or all"]
    aggregate: Annotated[
        Literal["minmax", "max", "minmax_all", "max_all"] | None,
        "minmax, max, minmax_all or max_all",
    ]
    probes: Annotated[Group, "n and from, one by one, probes.n=8"]
    explainers: Annotated[Group, "their options one by one, explainers.NAME.max_seconds=60"]
    trainer: Annotated[Group, "its options one by one, trainer.accelerator=cpu"]
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED), "a whole number, 0 or more and below 2**32"]
    processes: Annotated[int, Field(ge=1, le=DEVICES), f"a whole number from 1 to {DEVICES}"]
    data: Annotated[Group | None, "the name of a data set"] = None
    study: Annotated[Group | None, "the name of a study"] = None


KINDS = get_type_hints(Options, include_extras=True)


def check_options(plain: Mapping[str, Any]) -> None:
    """Refuse a value of another kind than its option's.

    Args:
        plain: option -> value, resolved; each key is one of :data:`KINDS`.

    Raises:
        InputError: the option, the value, and what it may be.
    """
    for option, value in plain.items():
        kind = KINDS[option]
        try:
            TypeAdapter(kind).validate_python(value, strict=True)
        except ValidationError as error:
            shown = "null" if value is None else repr(value)
            raise InputError(
                f"{option}={shown}; give {kind.__metadata__[-1]}{_as_text(option, value)}"
            ) from error


def _as_text(option: str, value: Any) -> str:
    """How a name that looks like a number is typed, and channels in the place of names."""
    if option == "organs" and isinstance(value, dict):
        return f"; the channels of a network of your own: 'model.channels={in_yaml(value)}'"
    if not KINDS[option].__metadata__[-1].endswith("as text") or isinstance(value, dict):
        return ""
    items = value if isinstance(value, list) else [value]
    if not any(type(item) in (int, float, bool) for item in items):
        return ""
    texts = ",".join(quoted(str(item)) for item in items)
    return f": '{option}={f'[{texts}]' if isinstance(value, list) else texts}'"
