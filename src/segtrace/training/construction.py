"""Objects that a configuration names: what another package's constructor refuses is one line."""

import inspect
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_object, instantiate

from segtrace.errors import InputError
from segtrace.names import LIGHTNING as LOGGERS

if TYPE_CHECKING:
    import pytorch_lightning as pl

OURS = Path(__file__).parents[1]
SPECIAL = ("_target_", "_partial_", "_convert_")
"""Keys of a node that are Hydra's, and no options of what it names."""
TRIED = ("pytorch_lightning", "torch", "monai")
"""Packages whose objects may be made once more, to find the option that is refused."""
LENGTH, SHORT = 300, 80
"""Letters of another package's reason, and of a value, that are printed."""
FABRIC = "lightning_fabric"
LIGHTNING = ("pytorch_lightning", FABRIC)
UNUSED = "parameters that were not used in producing the loss"
"""How Lightning says that DDP waits for gradients that nobody will have."""
REFUSALS = (ValueError, TypeError, ArithmeticError, AttributeError, ImportError)
"""What Lightning raises, beside an exception of its own, for options that do not go together."""

Node = Mapping[str, Any]


def construct(where: str, node: Node, *given: Any, **objects: Any) -> Any:
    """What the node names, called with its options and these objects, handed over as they are.

    Args:
        where: the node's place in the configuration, e.g. ``"callbacks.flow"``.
        node: ``_target_`` and options, plain values.
        given: positional arguments of the call.
        objects: keyword arguments of the call.

    Raises:
        InputError: see :func:`built`.
    """
    return built(where, node, lambda options: _call(options, given, objects))


def built(where: str, node: Node, build: Callable[[Node], Any]) -> Any:
    """What ``build`` makes of a node; a value that is refused on the way is the user's mistake.

    It is one where the code of another package refuses an object of another package. What goes
    wrong in code of ours keeps its traceback: ours say ``InputError`` themselves.

    Args:
        where: the node's place in the configuration.
        node: ``_target_`` and options, plain values.
        build: node -> object; called again, with an option less, to find the one to blame.

    Raises:
        InputError: one line that names the option, its value and the reason.
    """
    try:
        return build(node)
    except InputError:
        raise
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, InputError):
            raise cause from None
        if not is_refusal(cause, str(node["_target_"])):
            raise
        raise InputError(_refusal(where, node, build, reason(cause))) from error


def build_trainer(node: Node, **objects: Any) -> "pl.Trainer":
    """Lightning's trainer by these options, which says nothing that a user can do nothing with.

    Raises:
        InputError: see :func:`built`; another class.
    """
    import pytorch_lightning as pl  # which takes seconds, and sets its loggers' levels

    for name in (*LOGGERS, FABRIC):
        logging.getLogger(name).setLevel(logging.WARNING)
    made: pl.Trainer = construct("trainer", node, **objects)
    expect("trainer", node, made, pl.Trainer)
    return made


@contextmanager
def running() -> Iterator[None]:
    """Around a call of the trainer: what Lightning refuses only then is one line as well.

    That is an exception on whose way from the trainer no code of ours was called; or DDP's, of a
    network with weights that its logits do not depend on.

    Raises:
        InputError: with Lightning's reason.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, RuntimeError) and UNUSED in str(error):
            raise InputError(
                "some weights of the network have no part in its logits (those of further outputs, "
                "as for deep supervision), which DDP must be told; say "
                "trainer.strategy=ddp_find_unused_parameters_true"
            ) from error
        if not isinstance(error, REFUSALS) and not _is_misconfiguration(error):
            raise
        files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        inner = dropwhile(lambda file: not set(LIGHTNING) & set(file.parts), files)
        within = [OURS in file.parents for file in inner]
        if isinstance(error, InputError) or not within or any(within):
            raise
        raise InputError(f"Lightning refuses this: {reason(error)}") from error


def _is_misconfiguration(error: BaseException) -> bool:
    """By its name: to ask for the class would import Lightning where it has not been needed."""
    return any(cls.__name__ == "MisconfigurationException" for cls in type(error).__mro__)


def expect(where: str, node: Node, made: Any, kind: type) -> None:
    """Refuse what is of another kind than its place needs.

    Raises:
        InputError: it is.
    """
    if not isinstance(made, kind):
        package = kind.__module__.split(".")[0]
        raise InputError(
            f"{where}: {node['_target_']} is no {kind.__name__} of {package}; name one there"
        )


def is_refusal(error: BaseException, target: str) -> bool:
    """Whether another package's code refused; ``target`` is what was being made of the values."""
    raised_in = _raised_in(error)
    if target.split(".")[0] == OURS.name:
        return raised_in in ("hydra", "omegaconf")
    return raised_in != OURS.name


def reason(error: BaseException) -> str:
    """What an exception says, as a part of one line."""
    words = " ".join(str(error).split()).rstrip(".!") or type(error).__name__
    return words if len(words) <= LENGTH else f"{words[:LENGTH]} …"


def _call(node: Node, given: tuple[Any, ...], objects: Mapping[str, Any]) -> Any:
    # Lists are handed over as copies: Lightning's trainer adds to the one it is given.
    fresh = {name: list(o) if isinstance(o, list) else o for name, o in objects.items()}
    return instantiate(dict(node), _partial_=True, _convert_="all")(*given, **fresh)


def _cause(error: BaseException) -> BaseException:
    """What lies behind an exception that Hydra wrapped around it."""
    while error.__cause__ is not None and type(error).__module__.startswith("hydra"):
        error = error.__cause__
    return error


def _raised_in(error: BaseException) -> str:
    """The package of the innermost frame, the calls of this file left out; empty for none."""
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    others = [frame for frame in frames if frame != Path(__file__)]
    if not others:  # the call itself does not fit the signature
        return ""
    if OURS in others[-1].parents:
        return OURS.name
    return next((part for part in ("hydra", "omegaconf") if part in others[-1].parts), "")


def _refusal(where: str, node: Node, build: Callable[[Node], Any], why: str) -> str:
    """The option to blame with its value, why, and what would do in its place."""
    target = str(node["_target_"])
    options = {key: value for key, value in node.items() if key not in SPECIAL}
    blamed = _blamed(node, build) if target.split(".")[0] in TRIED else []
    if not blamed:
        told = {key: repr(value) for key, value in options.items()}
        listed = ", ".join(f"{k}={v}" for k, v in told.items() if k in why or v in why)
        return f"{where}: {target}({listed}): {why}"
    said = " with ".join(f"{where}.{key}={options[key]!r}" for key in blamed)
    return f"{said}: {why}; {_remedy(where, target, blamed[0])}"


def _blamed(node: Node, build: Callable[[Node], Any]) -> list[str]:
    """The options without which it would be made."""
    return [
        key
        for key in node
        if key not in SPECIAL
        and _works(build, {name: value for name, value in node.items() if name != key})
    ]


def _works(build: Callable[[Node], Any], node: Node) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            build(node)
        except Exception:
            return False
    return True


def _remedy(where: str, target: str, key: str) -> str:
    """The value that the constructor itself has for an option, which is known to do."""
    called = get_object(target)
    parameter = inspect.signature(called).parameters.get(key)
    if parameter is None or parameter.default is inspect.Parameter.empty:
        return f"it works without {key}"
    return f"{where}.{key}={in_yaml(parameter.default)} works"


def in_yaml(value: Any) -> str:
    """A plain value as it is typed on the command line.

    >>> in_yaml(None), in_yaml("auto"), in_yaml((0.9, 0.999)), in_yaml({"liver": True})
    ('null', 'auto', '[0.9,0.999]', '{liver: true}')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(in_yaml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {in_yaml(inner)}" for key, inner in value.items()) + "}"
    text = str(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]} …"
