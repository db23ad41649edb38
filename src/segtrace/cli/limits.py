"""Bounds of values that constructors take and that fail later, or are quietly misread."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segtrace.data.limits import LARGEST_SEED
from segtrace.errors import InputError, unknown
from segtrace.evaluation.protocols import PROTOCOLS

AT_LEAST = {
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.gradient_clip_val": 0,
}
ABOVE_ZERO = ("trainer.val_check_interval", "trainer.limit_train_batches")
ELSEWHERE = {
    "trainer.callbacks": "callbacks.<a name>._target_=…",
    "trainer.logger": "logger.<a name>._target_=…",
    "trainer.default_root_dir": "hydra.run.dir=…",
}
"""Options of the trainer that ``train.py`` fills in from another place."""
DEVICES = 256
"""Of one computer, more than any has; each is a process."""
PROBE_KEYS = {"n": int, "from": str, "embed": bool}


def check_limits(config: Mapping[str, Any]) -> None:
    """Hold single values of a configuration of ``train.py`` against what makes sense.

    Raises:
        InputError: one line with the place, the value and what to give.
    """
    seed = config["seed"]
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed={seed!r}; give a whole number from 0 to {LARGEST_SEED}")
    protocols_of(config["test"])
    for key in ELSEWHERE:
        _, name = key.split(".")
        if name in config["trainer"]:
            raise InputError(f"{key} is filled in by train.py; say {ELSEWHERE[key]}")
    for where, value in leaves(config):
        _check_leaf(where, value)
    check_devices(config["trainer"])
    _check_time(config["trainer"].get("max_time"))
    check_end(config["trainer"], config["model"].get("scheduler"))
    _check_averages(config.get("callbacks", {}))
    if config["test"] and config["trainer"].get("limit_test_batches") == 0:
        raise InputError("test=true scores nothing with trainer.limit_test_batches=0; leave it out")


def protocols_of(test: Any) -> tuple[str, ...]:
    """By which protocols the test cases are scored: ``True`` is ``strict``, ``False`` none.

    Raises:
        InputError: it is neither of these, nor a protocol's name or several.
    """
    if isinstance(test, bool):
        return ("strict",) * test
    names = [test] if isinstance(test, str) else test
    if not isinstance(names, list) or not names or any(name not in [*PROTOCOLS] for name in names):
        known = ",".join(PROTOCOLS)
        raise InputError(f"test={test!r}; give true or false, or of the protocols, [{known}]")
    return tuple(dict.fromkeys(names))


def check_devices(trainer: Mapping[str, Any]) -> None:
    """Refuse processes by the thousand, which Lightning would start one after another.

    Raises:
        InputError: more than any computer has devices.
    """
    devices = trainer.get("devices", "auto")
    if str(devices).isdecimal() and int(devices) > DEVICES:
        raise InputError(f"trainer.devices={devices}; give {DEVICES} or less, or auto")


def _check_time(given: Any) -> None:
    parts = list(given.values()) if isinstance(given, Mapping) else [given]
    if isinstance(given, str | None):
        return
    if not isinstance(given, Mapping) or any(part < 0 for part in parts if type(part) is int):
        raise InputError(
            f"trainer.max_time={given}; give days, hours, minutes and seconds, "
            "'trainer.max_time=\"00:12:00:00\"', or null"
        )


def check_end(trainer: Mapping[str, Any], scheduler: Any) -> None:
    """Refuse a training without an end, which Lightning would give one of 1000 epochs.

    Raises:
        InputError: neither epochs nor steps nor a time limit; a time limit alone, where a schedule
            has to know the steps; fewer epochs or steps than there must be.
    """
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
    if steps not in (None, -1):
        if steps < 1:
            raise InputError(f"trainer.max_steps={steps}; give 1 or more, or -1 for no limit")
        _check_least(trainer, "steps", steps)
    if epochs not in (None, -1):
        if epochs < 1:
            raise InputError(f"trainer.max_epochs={epochs}; give 1 or more")
        _check_least(trainer, "epochs", epochs)
        return
    if steps not in (None, -1):
        return
    said = f"trainer.max_epochs={'null' if epochs is None else epochs}"
    if trainer.get("max_time") is None:
        raise InputError(f"{said}: the training has no end; give trainer.max_epochs=10")
    if scheduler is not None:
        raise InputError(
            f"{said}: the schedule of the learning rate must know its end; give "
            "trainer.max_epochs=10, or model.scheduler=null"
        )


def _check_least(trainer: Mapping[str, Any], kind: str, most: int) -> None:
    """Refuse a training that must last longer than it may, which Lightning ends all the same."""
    least = trainer.get(f"min_{kind}")
    if isinstance(least, int) and least > most:
        raise InputError(
            f"trainer.min_{kind}={least} is more than trainer.max_{kind}={most}; lower the one or "
            "raise the other"
        )


def _check_averages(callbacks: Mapping[str, Any]) -> None:
    """Refuse an average of weights that never moves, or runs away.

    Raises:
        InputError: a decay outside 0 to 1, or 1 itself.
    """
    for name, node in callbacks.items():
        if node is None or not str(node.get("_target_", "")).endswith(".EMAWeightAveraging"):
            continue
        decay = node.get("decay", 0.0)
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise InputError(
                f"callbacks.{name}.decay={decay}; give 0 or more and less than 1, as 0.99: the "
                "average is of some 1 / (1 - decay) steps, and one with 1 never moves"
            )


def leaves(node: Any, where: str = "", *, in_lists: bool = True) -> Iterator[tuple[str, Any]]:
    """Every single value with its path: ``trainer.max_epochs``, ``data.window[0]``.

    Args:
        node: options, nested.
        where: the path of it.
        in_lists: whether each item of a list is one; else the list is.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{where}.{key}" if where else str(key), in_lists=in_lists)
    elif isinstance(node, list) and in_lists:
        for i, value in enumerate(node):
            yield from leaves(value, f"{where}[{i}]")
    else:
        yield where, node


def _check_leaf(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise InputError(f"{where}={value}; give a finite number")
    if where in AT_LEAST and value < AT_LEAST[where]:
        raise InputError(f"{where}={value}; give {AT_LEAST[where]} or more")
    if where in ABOVE_ZERO and value <= 0:
        raise InputError(f"{where}={value}; give more than 0")


def check_probes(
    given: Mapping[str, Any],
    parts: Sequence[str] = ("val", "train"),
    kinds: Mapping[str, type] = PROBE_KEYS,
) -> None:
    """Hold the options of the probes against what they may be.

    Args:
        given: name -> value.
        parts: of the split, which they may be from.
        kinds: name -> type of its value; ``n`` may be None.

    Raises:
        InputError: an unknown option, one that is missing, or a value of the wrong kind.
    """
    give = {int: "a whole number", str: " or ".join(parts), bool: "true or false"}
    for key, value in given.items():
        if key not in kinds:
            raise unknown("option", f"probes.{key}", [f"probes.{name}" for name in kinds])
        if type(value) is not kinds[key] and (key, value) != ("n", None):
            raise InputError(f"probes.{key}={value!r}; give {give[kinds[key]]}")
    for key in kinds:
        if key not in given:
            raise InputError(f"probes.{key} is needed; leave ~probes.{key} out")
    if given["n"] is not None and given["n"] < 1:
        raise InputError(f"probes.n={given['n']}; watch at least one slice")
    if given["from"] not in parts:
        raise unknown("probes.from", given["from"], parts)
