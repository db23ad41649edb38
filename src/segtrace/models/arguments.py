"""What may stand in an argument of a known network: numbers in a range, words of a list, no more.

A checkpoint of unknown origin brings these arguments along, so what a constructor would do with
anything else (import a package, download weights, read a file, take the memory of the machine)
must not be asked of it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from segtrace.errors import InputError, printable, unknown

DEEPEST = 32
"""Entries of a list: levels of a network, sizes along its axes."""

Flag = Annotated[bool, Field(strict=True)]
Width = Annotated[int, Field(strict=True, ge=1, le=2**16)]
"""Channels, or pixels along a side."""
Count = Annotated[int, Field(strict=True, ge=0, le=64)]
"""Layers, strides, kernels: what a constructor counts up to."""
Window = Annotated[int, Field(strict=True, ge=1, le=16)]
"""Side of an attention window, to whose sixth power a table of positions may grow."""
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-(2.0**16), le=2.0**16)]
Dimensions = Annotated[int, Field(strict=True, ge=1, le=3)]


def _sequence(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_Levels = Field(max_length=DEEPEST)
_Tuples = BeforeValidator(_sequence)
Widths = Annotated[list[Width], _Levels, _Tuples]
Counts = Annotated[list[Count], _Levels, _Tuples]
Numbers = Annotated[list[Number], _Levels, _Tuples]
Windows = Annotated[list[Window], _Levels, _Tuples]
Sizes = Count | Counts
"""One number for all axes, or one for each."""
PerLevel = Annotated[list[Sizes], _Levels, _Tuples]

ACTIVATIONS = (
    "", "elu", "relu", "leakyrelu", "prelu", "relu6", "selu", "celu", "gelu", "sigmoid", "tanh",
    "softmax", "logsoftmax", "swish", "memswish", "mish",
)  # fmt: skip
NORMS = ("", "instance", "batch", "group", "layer", "localresponse", "syncbatch")
"""All of MONAI's but the one that imports apex."""
DROPOUTS = ("", "dropout", "alphadropout")

Option = Annotated[int, Field(strict=True, ge=-(2**16), le=2**16)] | Number | Flag | None
_OPTIONS = TypeAdapter(
    dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")],
        Option | Widths | Literal["none", "tanh"],
    ]
)


def _layer(names: tuple[str, ...]) -> Any:
    """``relu``, or ``[relu, {inplace: true}]``, as MONAI describes a layer."""

    def check(value: Any) -> Any:
        name, options = value if isinstance(value, list) and len(value) == 2 else (value, {})
        if not isinstance(name, str) or name.lower() not in names:
            raise ValueError(f"layer {printable(name, 80)!r}; allowed are {', '.join(names[1:])}")
        return [name, _OPTIONS.validate_python(options)] if isinstance(value, list) else name

    return Annotated[Any, BeforeValidator(_sequence), AfterValidator(check)]


Activation = _layer(ACTIVATIONS)
Norm = _layer(NORMS)
Dropout = Share | _layer(DROPOUTS) | None


def checked(kinds: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments, each of the kind that is allowed.

    Args:
        kinds: argument -> what it may be.
        given: argument -> value.
        where: what the arguments are of, for messages.

    Raises:
        InputError: an argument that there is not, or whose value is of no allowed kind.
    """
    for name in given:
        if name not in kinds:
            raise unknown("argument", printable(name, 80), kinds, where)
    return {name: _checked(kinds[name], value, f"{where}: {name}") for name, value in given.items()}


def _checked(kind: Any, value: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        why = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}={printable(repr(value), 200)}: {why}") from error
