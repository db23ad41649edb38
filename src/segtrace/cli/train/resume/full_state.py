"""What a full checkpoint has to hold so that a training can go on from it, down to the numbers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, NotRequired

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError
from torch import Tensor
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

VERSION = "pytorch-lightning_version"
IDENTITY = "Continuity"
"""Under this key Lightning keeps the state of that callback."""
WATCHED = "FlowCallback"
"""Under this one that of the callback that explains; of several each adds its own letters to it."""
FLOW = "segtrace.training.callbacks.flow.FlowCallback"
Count = Annotated[int, Field(ge=0)]
Loaded = InstanceOf[Tensor]


class Numbers(TypedDict):
    """How far something is."""

    ready: Count
    completed: Count


class Progress(TypedDict):
    """In the whole training, and in this pass."""

    total: Numbers
    current: Numbers


class Step(TypedDict):
    """Of the optimiser."""

    step: Progress
    zero_grad: Progress


class Steps(TypedDict):
    """Of all that optimises."""

    optimizer: Step


class Stepped(TypedDict):
    """Batches by which Lightning logs."""

    _batches_that_stepped: Count


Fit = TypedDict(
    "Fit",
    {
        "epoch_progress": Progress,
        "epoch_loop.state_dict": Stepped,
        "epoch_loop.batch_progress": Progress,
        "epoch_loop.scheduler_progress": Progress,
        "epoch_loop.automatic_optimization.optim_progress": Steps,
    },
)


class Loops(TypedDict):
    """How far the training is."""

    fit_loop: Fit


class Weights(TypedDict):
    """A group of weights that are trained alike."""

    params: list[Count]
    lr: float | Loaded


class Optimised(TypedDict):
    """What an optimiser keeps."""

    state: dict[Any, dict[str, Any]]
    param_groups: list[Weights]


class Scheduled(TypedDict):
    """What a schedule keeps."""

    last_epoch: int


class Told(TypedDict):
    """Of the description of a checkpoint, what counts here."""

    epoch: Count


class Identity(TypedDict):
    """What ``Continuity`` keeps; of an older version, less."""

    configuration: NotRequired[dict[str, Any]]
    cases: NotRequired[dict[str, str]]
    steps: Count | None


class Epochs(TypedDict):
    """Those of which something is known."""

    epochs: Sequence[Count]


class Watched(TypedDict):
    """What ``FlowCallback`` keeps, as far as it says what was drawn; of an older version, less."""

    history: Epochs
    drawn: dict[str, Count]
    cuts: NotRequired[Epochs]


State = TypedDict(
    "State",
    {
        "segtrace": Told,
        "state_dict": dict[str, Loaded],
        "optimizer_states": Annotated[list[Optimised], Field(min_length=1, max_length=1)],
        "lr_schedulers": list[Scheduled],
        "loops": Loops,
        "callbacks": dict[str, Any],
        "epoch": Count,
        "global_step": Count,
        "pytorch-lightning_version": str,
    },
)
"""What Lightning writes into a full checkpoint, and takes up again."""
_STATE, _IDENTITY, _WATCHED = TypeAdapter(State), TypeAdapter(Identity), TypeAdapter(Watched)


@dataclass(frozen=True)
class Expected:
    """What a run keeps beside its weights.

    Attributes:
        schedules: of the learning rate; ``None`` where that is not known.
        flows: callbacks that explain, each of which keeps its state.
    """

    schedules: int | None = None
    flows: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Expected":
        """Of a configuration, plain values."""
        nodes = [node for node in config["callbacks"].values() if node is not None]
        flows = [node for node in nodes if node["_target_"] == FLOW]
        return cls(int(config["model"].get("scheduler") is not None), len(flows))


def watched_in(saved: Mapping[str, Any]) -> list[str]:
    """The keys of what callbacks that explain have kept, in their order."""
    keys = [key for key in saved["callbacks"] if isinstance(key, str)]
    return [key for key in keys if key == WATCHED or key.startswith(f"{WATCHED}-")]


def check_full(saved: Mapping[str, Any], expected: Expected) -> None:
    """Hold what was read of a file against what a training takes up.

    Raises:
        ValueError: the reason, as a part of one line.
    """
    _fits(_STATE, saved, "")
    if IDENTITY in saved["callbacks"]:
        _fits(_IDENTITY, saved["callbacks"][IDENTITY], f"callbacks.{IDENTITY}")
    _check_version(saved[VERSION])
    found = len(saved["lr_schedulers"])
    if expected.schedules not in (None, found):
        raise ValueError(f"lr_schedulers: {found} instead of {expected.schedules}")
    if len(names := watched_in(saved)) < expected.flows:
        raise ValueError(f"callbacks.{WATCHED}: {len(names)} instead of {expected.flows}")
    for name in names:
        _fits(_WATCHED, saved["callbacks"][name], f"callbacks.{name}")
    for part in ("state_dict", "optimizer_states"):
        for where, tensor in _tensors(saved[part], part):
            if _is_lost(tensor, weight=part == "state_dict"):
                raise ValueError(f"{where}: not finite")


def _fits(kind: "TypeAdapter[Any]", value: Any, where: str) -> None:
    try:
        kind.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(part for part in (where, *map(str, first["loc"])) if part)
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _check_version(version: str) -> None:
    ours = metadata.version("pytorch-lightning")
    if not re.fullmatch(r"\d+\.\d+[\w.+-]*", version) or _major(version) != _major(ours):
        raise ValueError(f"{VERSION}: {version[:40]!r}, and {ours} is here")


def _major(version: str) -> int:
    return int(version.split(".")[0])


def _tensors(node: Any, where: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield where, node
    elif isinstance(node, Mapping):
        for key, inner in node.items():
            yield from _tensors(inner, f"{where}.{key}")
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from _tensors(inner, f"{where}[{i}]")


def _is_lost(tensor: Tensor, *, weight: bool) -> bool:
    """Whether no training recovers from it.

    A moment that has grown infinite only stands still, and -inf may be a mask.
    """
    if not tensor.is_floating_point():
        return False
    lost = tensor.isnan()
    return bool((lost | tensor.isposinf() if weight else lost).any())
