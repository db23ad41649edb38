"""What the arguments of public functions may be: one guard a kind, shared by all functions.

Most people who come with an array of numpy, a string where a list is wanted, or a module's class in
the place of a module are answered here, by the name of the argument, before any work is done.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from segtrace.activation import ACTIVATIONS, Organ, OrganLike
from segtrace.errors import Guard, InputError, guarded, unknown, wrong
from segtrace.network.labels import whole_numbers

PROPOSED = "proposed"
"""In the place of stages or edges: take what is proposed for a network that is in no table."""
NEARLY = 0.7
"""How alike a word is that is taken for a misspelt one; an organ's may be less so."""
MANY = 2**31
"""More than there is of anything that is counted here."""


def a_network(name: str, value: Any) -> None:
    """A module, not its class and not a function."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        raise InputError(f"{name} is the class {value.__name__}; call it: {value.__name__}(…)")
    if not isinstance(value, nn.Module):
        raise wrong(name, value, "a network, a torch.nn.Module")


def a_tensor(name: str, value: Any) -> None:
    """A tensor of real numbers that holds some."""
    if not isinstance(value, Tensor):
        hint = f"a tensor, torch.as_tensor({name})"
        raise wrong(name, value, hint if hasattr(value, "__array__") else "a tensor")
    if value.is_complex() or value.is_sparse or value.is_quantized:
        raise wrong(name, value, "a dense tensor of real numbers")
    if value.is_meta:
        raise wrong(name, value, "a tensor with values; this one is on the meta device")


def an_image(name: str, value: Any) -> None:
    """Slices or volumes, with an axis that counts them and one of channels."""
    a_tensor(name, value)
    if value.ndim < 3 or value.ndim > 5:
        advice = f"; of one slice (H, W) take {name}[None, None]" if value.ndim == 2 else ""
        raise wrong(name, value, f"slices (N, C, H, W) or volumes (N, C, D, H, W){advice}")
    if not value.numel():
        raise wrong(name, value, "at least one slice with at least one pixel")


def a_finite_image(name: str, value: Any) -> None:
    """The same without NaN or infinity, of which nothing that is counted means anything."""
    an_image(name, value)
    if broken := int((~value.isfinite()).sum()):
        raise InputError(f"{name} holds {broken} values that are NaN or infinite; repair them")


def labels(name: str, value: Any) -> Tensor:
    """A label map (N, *image), or masks (N, C, *image), as the whole numbers that it holds."""
    a_tensor(name, value)
    if value.ndim < 2 or not value.numel():
        raise wrong(name, value, "a label map (N, H, W) in channel numbers")
    return whole_numbers(name, value)


def a_channel(name: str, value: Any) -> int:
    """The number of a channel; whether there is such a one, the logits say."""
    if not _is_whole(value):
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


def an_activation(name: str, value: Any) -> None:
    """How logits become a prediction."""
    if value not in ACTIVATIONS:
        raise unknown("activation", value, ACTIVATIONS)


def channels(name: str, value: Any) -> dict[str, OrganLike]:
    """Organ -> channel, whatever library the numbers come from; or channel and label apart."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping organ -> channel, e.g. {'liver': 1}")
    if not value:
        raise InputError(f"{name} is empty: no organ is named; give e.g. {{'liver': 1}}")
    for organ in value:
        a_name(f"an organ in {name}", organ)
    return {organ: an_organ(f"{name}[{organ!r}]", value[organ]) for organ in value}


def a_name(name: str, value: Any) -> None:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a name, as text")


def a_text(name: str, value: Any) -> None:
    """Text, which may be empty."""
    if not isinstance(value, str):
        raise wrong(name, value, "text")


def a_name_or_number(name: str, value: Any) -> None:
    """A keyword, or the number of a positional argument."""
    if not isinstance(value, str) and (not _is_whole(value) or value < 0):
        raise wrong(name, value, "a keyword, as text, or a number from 0")


def names(name: str, value: Any) -> None:
    """Several names; one alone is put into a list by its user, or its letters would be names."""
    if isinstance(value, str):
        raise wrong(name, value, f"a list, [{value!r}]")
    once = isinstance(value, Iterator)  # it would be empty the second time
    if once or not isinstance(value, Iterable) or hasattr(value, "__array__"):
        raise wrong(name, value, "a list of names")
    for one in value:
        a_name(f"a name in {name}", one)


def places(name: str, value: Any) -> None:
    """Stages or edges: a mapping, a list of names, or ``None``."""
    if isinstance(value, Mapping):
        for one in value:
            a_name(f"a name in {name}", one)
    elif isinstance(value, str) and value == PROPOSED:
        raise InputError(
            f"{name} is 'proposed', which needs an image; give segtrace.describe(net, image).sites"
        )
    elif value is not None:
        names(name, value)


def places_or_proposed(name: str, value: Any) -> None:
    """The same, or the word that asks for a proposal."""
    refuse_misspelt(name, value, ["a mapping", "a list of names"])
    if not (isinstance(value, str) and value == PROPOSED):
        places(name, value)


def refuse_misspelt(name: str, value: Any, others: Sequence[str]) -> None:
    """Refuse a word that is nearly the one which asks for a proposal.

    Args:
        name: of the argument.
        value: given for it.
        others: what may stand there beside that word.
    """
    near = isinstance(value, str) and get_close_matches(value.lower(), [PROPOSED], cutoff=NEARLY)
    if near and value != PROPOSED:
        raise unknown(name, value, [PROPOSED, *others])


def places_or_sites(name: str, value: Any) -> None:
    """The same, or stages and edges that are resolved."""
    if not _are_sites(value):
        places_or_proposed(name, value)


def named_or_resolved(name: str, value: Any) -> None:
    """Edges, by name or resolved, beside which there may be stages; no proposal."""
    if not _are_sites(value):
        places(name, value)


def _are_sites(value: Any) -> bool:
    several = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return several and all(map(_is_site, value))


def _is_site(value: Any) -> bool:
    return hasattr(value, "module") and hasattr(value, "name")


def some_or_none(name: str, value: Any) -> None:
    """Edges, of which there must be some, or ``None`` for those of the table."""
    named_or_resolved(name, value)
    if value is not None and not value:
        raise InputError(f"{name} is empty: no edge is named; give some, or None")


def sites(name: str, value: Any) -> None:
    """What is cut or looked at: stages and edges, resolved."""
    wanted = "stages and edges, as segtrace.sites_of(net, …) returns them"
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise wrong(name, value, wanted)
    if not value:
        raise InputError(f"{name} is empty: no site is named; give at least one stage or edge")
    for one in value:
        if not _is_site(one):
            raise wrong(f"one of {name}", one, wanted)


def targets(name: str, value: Any) -> None:
    """A target or a tensor, or several by the names of organs."""
    if not isinstance(value, Mapping):
        _a_target(name, value)
        return
    for organ, one in value.items():
        a_name(f"an organ in {name}", organ)
        _a_target(f"{name}[{organ!r}]", one)


def _a_target(name: str, value: Any) -> None:
    if isinstance(value, Tensor) or _is_function(value):
        return
    if isinstance(value, Integral):
        raise wrong(name, value, f"a target, e.g. targets.organ({value})")
    if hasattr(value, "__array__"):
        a_tensor(name, value)
    raise wrong(name, value, "a target of segtrace.attribution.targets, or a tensor of weights")


def rules(name: str, value: Any) -> None:
    """Rules by name, as objects or functions: one or several."""
    if isinstance(value, str) or _is_function(value):
        return
    wanted = "names of rules, e.g. ['seg_grad_cam'], or functions"
    if not isinstance(value, Iterable) or hasattr(value, "__array__"):
        raise wrong(name, value, wanted)
    for one in () if isinstance(value, Iterator) else value:
        a_rule(f"one of {name}", one)


def a_rule(name: str, value: Any) -> None:
    """One rule by name, as an object or a function."""
    if not isinstance(value, str) and not _is_function(value):
        raise wrong(name, value, "the name of a rule, e.g. 'seg_grad_cam', or a function")


def a_count(name: str, value: Any) -> None:
    """A whole number from 1."""
    if not _is_whole(value) or not 1 <= value < MANY:
        raise wrong(name, value, f"a whole number from 1 and below {MANY}")


def a_count_or_none(name: str, value: Any) -> None:
    """A whole number from 1, or ``None``."""
    if value is not None:
        a_count(name, value)


def from_zero(name: str, value: Any) -> None:
    """A whole number from 0: a seed, an epoch."""
    if not _is_whole(value) or not 0 <= value < 2**63:
        raise wrong(name, value, "a whole number from 0")


def a_switch(name: str, value: Any) -> None:
    """True or False, not something that is taken for one."""
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")


def a_number(name: str, value: Any) -> None:
    """A number, whole or not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(name, value, "a number")


def a_function(name: str, value: Any) -> None:
    """Something to call that is no class."""
    if not _is_function(value):
        raise wrong(name, value, "a function")


def a_function_or_none(name: str, value: Any) -> None:
    """Something to call, or ``None``."""
    if value is not None and not _is_function(value):
        raise wrong(name, value, "a function, or None")


def an_output(name: str, value: Any) -> None:
    """What picks the logits: a function, an index, a key or a field; or ``None``."""
    if isinstance(value, str) and ":" in value:
        module, _, function = value.partition(":")
        raise InputError(
            f"{name} is {value!r}; a function is named so to explain.py alone, here give it "
            f"itself: from {module} import {function}, and {name}={function}"
        )
    is_name = (isinstance(value, str) and value) or _is_whole(value)
    if value is not None and not is_name and not _is_function(value):
        raise wrong(name, value, "an index, key or field of what the network returns, a function")


def tensors(name: str, value: Any) -> None:
    """Name -> tensor."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping name -> tensor")
    for one, tensor in value.items():
        a_tensor(f"{name}[{one!r}]", tensor)


def batches(name: str, value: Any) -> None:
    """Several batches of images; which are looked at when they are read."""
    if isinstance(value, Tensor | str | Mapping) or not isinstance(value, Iterable):
        hint = f"a list of batches (n, C, H, W), [{name}]"
        raise wrong(name, value, hint if isinstance(value, Tensor) else "batches (n, C, H, W)")


def a_whole(name: str, value: Any) -> None:
    """A whole number of either sign."""
    if not _is_whole(value):
        raise wrong(name, value, "a whole number")


def ends(name: str, value: Any) -> None:
    """(start, stop), whole numbers."""
    if not (isinstance(value, Sequence) and len(value) == 2 and all(map(_is_whole, value))):
        raise wrong(name, value, "(start, stop), whole numbers")


def a_range(name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers that rise, as they are."""
    wanted = "lower and upper end, two finite numbers, or None (YAML: null)"
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not pair or any(isinstance(one, bool) or not isinstance(one, Real) for one in value):
        raise wrong(name, value, wanted)
    low, high = map(float, value)
    if not (isfinite(low) and isfinite(high) and low < high):
        raise wrong(name, value, wanted)
    return low, high


def instance(kind: type, words: str) -> Guard:
    """An object of a class of ours.

    Args:
        kind: the class.
        words: where such an object comes from.
    """

    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise wrong(name, value, f"a {kind.__name__}, {words}")

    return check


def numbers(name: str, value: Any) -> None:
    """Name -> number."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping name -> number")
    for one, number in value.items():
        a_number(f"{name}[{one!r}]", number)


def of_one_stage(given: Mapping[str, Any]) -> None:
    """Activation and gradient have one shape, (N, K, *cells).

    Raises:
        InputError: they have not.
    """
    activation, gradient = (given[name] for name in ("activation", "gradient"))
    if activation.shape != gradient.shape or not 3 <= activation.ndim <= 5:
        raise InputError(
            f"activation and gradient have the shapes {tuple(activation.shape)} and "
            f"{tuple(gradient.shape)}; give those of one stage, (N, K, *cells) both"
        )
    if not activation.is_floating_point() or not gradient.is_floating_point():
        raise InputError("activation and gradient must hold floating-point numbers; say .float()")


def a_component(name: str, value: Any) -> None:
    """Which of several components: largest, smallest, a number, or that of a pixel."""
    placed = isinstance(value, list | tuple) and value and all(map(_is_whole, value))
    if not isinstance(value, str) and not placed and (not _is_whole(value) or value < 0):
        raise wrong(name, value, "'largest', 'smallest', a number from 0 or (row, column)")


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def optional(guard: Guard) -> Guard:
    """The same where ``None`` may stand."""

    def check(name: str, value: Any) -> Any:
        return None if value is None else guard(name, value)

    return check


def some(guard: Guard) -> Guard:
    """The same where at least one is needed."""

    def check(name: str, value: Any) -> Any:
        read = guard(name, value)
        if not len(value):
            raise InputError(f"{name} is empty; give at least one")
        return read

    return check


def each(guard: Guard, wanted: str) -> Guard:
    """Each of several passes the guard; an iterator is left to be read once."""

    def check(name: str, value: Any) -> None:
        if isinstance(value, str | Tensor) or not isinstance(value, Iterable):
            raise wrong(name, value, wanted)
        if not isinstance(value, Iterator):
            for one in value:
                guard(f"one of {name}", one)

    return check


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
