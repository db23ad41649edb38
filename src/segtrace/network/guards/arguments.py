"""Which argument has which guard, and the decorators that hold functions to it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from segtrace.errors import Guard, guarded
from segtrace.network.guards.combined import each, optional
from segtrace.network.guards.explained import (
    a_component,
    an_activation,
    an_organ,
    an_output,
    channels,
    rules,
    targets,
)
from segtrace.network.guards.places import places, sites
from segtrace.network.guards.tensors import a_network, a_tensor, an_image, labels, tensors
from segtrace.network.guards.values import (
    a_count,
    a_function_or_none,
    a_name,
    a_number,
    a_switch,
    a_whole,
    from_zero,
    names,
)

ARGUMENTS: Mapping[str, Guard] = {
    "net": a_network,
    "image": an_image,
    "images": an_image,
    "truth": optional(labels),
    "stages": places,
    "edges": places,
    "sites": sites,
    "target": targets,
    "rules": rules,
    "channels": channels,
    "channel": an_organ,
    "against": an_organ,
    "score": a_name,
    "region": a_name,
    "cut": a_name,
    "output": an_output,
    "progress": a_function_or_none,
    "gradient_cut": names,
    "batch": a_count,
    "steps": a_count,
    "draws": a_count,
    "window": a_whole,
    "seed": from_zero,
    "joint": a_switch,
    "maps": a_switch,
    "absent": a_switch,
    "cases": optional(names),
    "where": names,
    "fractions": each(a_number, "parts of a stage's cells, e.g. (0.1,)"),
    "baseline": tensors,
    "which": a_component,
    "activation": optional(an_activation),
    "gradient": a_tensor,
}
"""Name of an argument -> its guard, for attribution and causal."""

Held = TypeVar("Held", bound=Callable[..., Any])


class Holding(Protocol):
    """A decorator that guards the arguments of a public function."""

    def __call__(
        self, together: Callable[[Mapping[str, Any]], None] | None = None, **own: Guard
    ) -> Callable[[Held], Held]:
        """See :func:`segtrace.errors.guarded`; ``own`` comes before what all functions share."""


def holding(arguments: Mapping[str, Guard]) -> Holding:
    """The decorator of functions whose arguments have these guards, by their names."""

    def held(
        together: Callable[[Mapping[str, Any]], None] | None = None, **own: Guard
    ) -> Callable[[Held], Held]:
        guard: Any = guarded({**arguments, **own}, together)
        return guard

    return held


held = holding(ARGUMENTS)

Class = TypeVar("Class", bound=type)


def fields(**own: Guard) -> Callable[[Class], Class]:
    """Guard the fields of a dataclass in the same way; stands above ``@dataclass``."""

    def guard(cls: Class) -> Class:
        def whose(given: Mapping[str, Any]) -> str:
            name, kind = given.get("name"), cls.__name__
            named = isinstance(name, str) and name
            return f" of {kind.lower()} {name!r}" if named else f" of {kind}"

        checked: Any = guarded(own, of=whose)(getattr(cls, "__init__"))  # noqa: B009
        setattr(cls, "__init__", checked)  # noqa: B010 (a type's own __init__, to a type checker)
        return cls

    return guard
