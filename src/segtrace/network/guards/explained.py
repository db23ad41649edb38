"""What is explained, and how: organs and their channels, targets, rules, the logits."""

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any

from torch import Tensor

from segtrace.activation import ACTIVATIONS, Organ, OrganLike
from segtrace.errors import InputError, unknown, wrong
from segtrace.network.guards.tensors import a_tensor
from segtrace.network.guards.values import a_name, is_function, is_whole


def a_channel(name: str, value: Any) -> int:
    """The number of a channel; whether there is such a one, the logits say."""
    if not is_whole(value):
        raise wrong(name, value, "the number of a channel, a whole number")
    return int(value)


def an_organ(name: str, value: Any) -> OrganLike:
    """The number of a channel, or channel and label apart."""
    if isinstance(value, Organ):
        value = {"channel": value.channel, "label": value.label}
    if isinstance(value, Mapping):
        numbers = {key: a_channel(f"{name}[{key!r}]", number) for key, number in value.items()}
        if set(numbers) == {"channel", "label"}:
            return Organ(**numbers)
        raise wrong(name, value, "{'channel': 0, 'label': 1}, or the number of a channel")
    return a_channel(name, value)


def channels(name: str, value: Any) -> dict[str, OrganLike]:
    """Organ -> channel, whatever library the numbers come from; or channel and label apart."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping organ -> channel, e.g. {'liver': 1}")
    if not value:
        raise InputError(f"{name} is empty: no organ is named; give e.g. {{'liver': 1}}")
    for organ in value:
        a_name(f"an organ in {name}", organ)
    return {organ: an_organ(f"{name}[{organ!r}]", value[organ]) for organ in value}


def an_activation(name: str, value: Any) -> None:
    """How logits become a prediction."""
    if value not in ACTIVATIONS:
        raise unknown("activation", value, ACTIVATIONS)


def targets(name: str, value: Any) -> None:
    """A target or a tensor, or several by the names of organs."""
    if not isinstance(value, Mapping):
        _a_target(name, value)
        return
    for organ, one in value.items():
        a_name(f"an organ in {name}", organ)
        _a_target(f"{name}[{organ!r}]", one)


def _a_target(name: str, value: Any) -> None:
    if isinstance(value, Tensor) or is_function(value):
        return
    if isinstance(value, Integral):
        raise wrong(name, value, f"a target, e.g. targets.organ({value})")
    if hasattr(value, "__array__"):
        a_tensor(name, value)
    raise wrong(name, value, "a target of segtrace.attribution.targets, or a tensor of weights")


def a_component(name: str, value: Any) -> None:
    """Which of several components: largest, smallest, a number, or that of a pixel."""
    placed = isinstance(value, list | tuple) and value and all(map(is_whole, value))
    if not isinstance(value, str) and not placed and (not is_whole(value) or value < 0):
        raise wrong(name, value, "'largest', 'smallest', a number from 0 or (row, column)")


def rules(name: str, value: Any) -> None:
    """Rules by name, as objects or functions: one or several."""
    if isinstance(value, str) or is_function(value):
        return
    wanted = "names of rules, e.g. ['seg_grad_cam'], or functions"
    if not isinstance(value, Iterable) or hasattr(value, "__array__"):
        raise wrong(name, value, wanted)
    for one in () if isinstance(value, Iterator) else value:
        a_rule(f"one of {name}", one)


def a_rule(name: str, value: Any) -> None:
    """One rule by name, as an object or a function."""
    if not isinstance(value, str) and not is_function(value):
        raise wrong(name, value, "the name of a rule, e.g. 'seg_grad_cam', or a function")


def an_output(name: str, value: Any) -> None:
    """What picks the logits: a function, an index, a key or a field; or ``None``."""
    if isinstance(value, str) and ":" in value:
        module, _, function = value.partition(":")
        raise InputError(
            f"{name} is {value!r}; a function is named so to explain.py alone, here give it "
            f"itself: from {module} import {function}, and {name}={function}"
        )
    is_name = (isinstance(value, str) and value) or is_whole(value)
    if value is not None and not is_name and not is_function(value):
        raise wrong(name, value, "an index, key or field of what the network returns, a function")
