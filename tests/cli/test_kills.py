"""A run that is killed, at any moment and in the middle of any write, and that goes on.

``SEGTRACE_KILLS=50 make test-long ARGS=tests/cli/test_kills.py`` kills fifty runs.
"""

import os
import random
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from helpers.deadly import Nursery
from helpers.scripts import SMALL_NET, tiny_data
from segtrace.checkpoint.loading import load

pytestmark = pytest.mark.long
KILLS = int(os.environ.get("SEGTRACE_KILLS", "4"))
LITTLE = (
    "explain.rules=[grad_pam]", "explain.organs=[liver]", "trainer.max_epochs=3",
    "trainer.log_every_n_steps=1", "probes.n=1",
)  # fmt: skip
KINDS = {
    "accumulating": (
        "trainer.accumulate_grad_batches=2", "callbacks.flow.cut_every=null",
        "data.cache_dir=cache",
    ),
    "workers, averaged, sigmoid": (
        "data.num_workers=2", "model.activation=sigmoid", "callbacks.flow.cut_every=null",
        "+callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging",
    ),
    "cutting": ("callbacks.flow.cut_every=2", "callbacks.flow.draw_every.charts=2"),
}  # fmt: skip
"""Name -> overrides of a training; the first one, which is short, fills a cache of its own."""
TURNS = ["accumulating", "accumulating", *KINDS]
"""Kind of one kill after the other; every other of each kind comes within writing."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


@pytest.fixture(scope="module")
def whole(nursery, tiny_raw, tmp_path_factory) -> dict[str, tuple[Path, dict[str, Any], Any]]:
    """Kind -> an uninterrupted run of it, how it ended, and all that is compared."""
    found = {}
    for kind in dict.fromkeys(TURNS[: max(KILLS, 1)]):
        folder = tmp_path_factory.mktemp("whole") / "here"
        folder.mkdir()
        ended = nursery.run("train.py", folder, *arguments(kind, tiny_raw))
        assert ended["code"] == 0, ended["said"][-3000:]
        found[kind] = (folder, ended, left_by(folder))
    return found


def arguments(kind: str, root: Path) -> tuple[str, ...]:
    shared = f"data.cache_dir={root.parent / 'cache'}"
    return (*tiny_data(root), *SMALL_NET, shared, *LITTLE, *KINDS[kind], "hydra.run.dir=run")


def points(folder: Path) -> list[tuple[str, int, bytes]]:
    """(tag, step, value) of all that stands in the log, in order of tag and step."""
    found = []
    for path in folder.glob("events*"):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                plain = type(value)()
                plain.CopyFrom(value)
                found.append((value.tag, event.step, plain.SerializeToString(deterministic=True)))
    return sorted(found)


def left_by(folder: Path) -> dict[str, Any]:
    """File -> what it holds, of a run and its cache; the log is one."""
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and "events" not in path.name
    }
    found: dict[str, Any] = {}
    for name, path in files.items():
        if name.endswith(".ckpt"):
            found[name] = torch.load(path, weights_only=True)
        elif name != "run/config.yaml" and not name.endswith("index.json"):
            found[name] = path.read_bytes()
        else:
            found[name] = None
    return found | {"log": points(folder / "run" / "tensorboard")}


COUNTED = ("validate_loop",)
"""Keys of a checkpoint under which Lightning counts what came before the training, and reads it no
more: a run that goes on validates no untrained network."""


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nests of values are not the same to the bit."""
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
        return [] if same and torch.equal(one.isnan(), other.isnan()) else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        keys = [key for key in one if key not in COUNTED]
        return [d for key in keys for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} of them"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    same = one == other or (one != one and other != other)  # NaN
    return [] if same else [f"{where}: {str(one)[:80]} and {str(other)[:80]}"]


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_killed_anywhere_ends_as_if_nobody_had(number, nursery, whole, tiny_raw, tmp_path):
    """At any moment of its time, or any step of its writing; some of them again and again."""
    chance = random.Random(number)
    kind = TURNS[number % len(TURNS)]
    folder = tmp_path / "here"
    folder.mkdir()
    _, ended, expected = whole[kind]
    told, typed = [], arguments(kind, tiny_raw)
    for _ in range(chance.choice([1, 1, 2, 3])):
        inside = number // 2 % 2 == 0  # five kinds of turns: of each one as often as the other
        at = [chance.randint(1, ended["steps"])] if inside else ()
        after = None if inside else chance.uniform(0, ended["seconds"])
        killed = nursery.run("train.py", folder, *typed, at=at, after=after)
        told.append(killed["place"] or f"after {after:.2f} s" if killed["killed"] else "not")
        assert killed["killed"] or killed["code"] == 0, killed["said"][-3000:]
        if (folder / "run" / "config.yaml").is_file():
            typed = ("resume=run", *(one for one in KINDS[kind] if "_target_" in one))
    last = nursery.run("train.py", folder, *typed)
    assert last["code"] == 0, (told, last["said"][-3000:])
    print(f"\n{number} {kind}: {'; '.join(told)}")
    assert differences(expected, left_by(folder)) == [], told


STOPS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize("number", range(KILLS // 4))
def test_a_run_that_is_stopped_anywhere_goes_on_by_the_command_that_it_prints(
    number, nursery, whole, tiny_raw, tmp_path
):
    chance = random.Random(number)
    kind = TURNS[number % len(TURNS)]
    folder = tmp_path / "here"
    folder.mkdir()
    _, ended, expected = whole[kind]
    told, typed = [], arguments(kind, tiny_raw)
    for signal_ in chance.sample(list(STOPS), chance.choice([1, 1, 2])):
        first = chance.randint(1, ended["steps"])
        at = [first, first + chance.randint(1, 20)][: chance.choice([1, 2])]  # once, or once more
        stop = nursery.run("train.py", folder, *typed, at=at, number=signal_)
        told.append(f"{STOPS[signal_]} at {stop['place']}")
        if stop["code"] == 0:  # nothing was left to do, or fewer steps
            break
        assert stop["code"] == 128 + signal_, (told, stop["said"][-3000:])
        (line,) = [one for one in stop["said"].splitlines() if one.startswith("train.py: ")]
        assert f"stopped by {STOPS[signal_]}" in line, line
        assert "Traceback" not in stop["said"], stop["said"]
        assert not list((folder / "run").rglob(".*")), told
        if "python train.py " in line:
            typed = tuple(shlex.split(line.partition("python train.py ")[2]))
        else:
            assert line.endswith("nothing has begun"), line
    last = nursery.run("train.py", folder, *typed)
    assert last["code"] == 0, (told, last["said"][-3000:])
    print(f"\n{number} {kind}: {'; '.join(told)}")
    assert differences(expected, left_by(folder)) == [], told


def test_a_worker_that_is_killed_is_one_line_and_the_run_goes_on(
    nursery, whole, tiny_raw, tmp_path
):
    kind = "workers, averaged, sigmoid"
    folder = tmp_path / "here"
    folder.mkdir()
    ended = nursery.run("train.py", folder, *arguments(kind, tiny_raw), worker_at=12)
    assert ended["code"] == 1, ended["said"][-3000:]
    (line,) = [one for one in ended["said"].splitlines() if one.startswith("train.py: ")]
    assert "a process that reads slices was ended from outside" in line
    assert "Traceback" not in ended["said"]
    typed = shlex.split(line.partition("to go on: python train.py ")[2])
    last = nursery.run("train.py", folder, *typed, "data.num_workers=0")
    assert last["code"] == 0, last["said"][-3000:]
    weights = load(folder / "run" / "checkpoints" / "epoch_003.ckpt").net.state_dict()
    assert all(value.isfinite().all() for value in weights.values())


def test_data_that_are_taken_away_from_a_training_are_not_missed(
    nursery, whole, tiny_raw, tmp_path
):
    kind, folder = TURNS[0], tmp_path / "here"
    folder.mkdir()
    own = shutil.copytree(tiny_raw, tmp_path / "own")
    _, ended, expected = whole[kind]
    typed = (*arguments(kind, tiny_raw), f"data.root={own}")
    half = ended["steps"] // 2
    last = nursery.run("train.py", folder, *typed, at=[half], removing=own)
    assert last["code"] == 0, last["said"][-3000:]
    assert not own.exists()
    weights = "run/checkpoints/epoch_003.ckpt"
    assert (
        differences(expected[weights]["state_dict"], left_by(folder)[weights]["state_dict"]) == []
    )


def test_a_cache_that_is_taken_away_is_one_line_and_the_run_goes_on(
    nursery, whole, tiny_raw, tmp_path
):
    kind, folder = TURNS[0], tmp_path / "here"
    folder.mkdir()
    _, ended, expected = whole[kind]
    lost = nursery.run(
        "train.py", folder, *arguments(kind, tiny_raw),
        at=[ended["steps"] // 2], removing=folder / "cache",
    )  # fmt: skip
    assert lost["code"] == 1, lost["said"][-3000:]
    (line,) = [one for one in lost["said"].splitlines() if one.startswith("train.py: ")]
    assert "was taken away or changed while it was in use" in line
    typed = shlex.split(line.partition("python train.py ")[2])
    last = nursery.run("train.py", folder, *typed)
    assert last["code"] == 0, last["said"][-3000:]
    assert differences(expected, left_by(folder)) == []
