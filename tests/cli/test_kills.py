"""A run that is killed, at any moment and in the middle of any write, and that goes on.

``SEGTRACE_KILLS=50 make test-long ARGS=tests/cli/test_kills.py`` kills fifty runs.
"""

import os
import random
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.deadly import Nursery
from helpers.left_behind import differences, left_by
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


class Whole(dict[str, tuple[Path, dict[str, Any], Any]]):
    """Kind -> an uninterrupted run of it, how it ended, and what it left; made when asked for."""

    def __init__(self, nursery: Nursery, root: Path, place: Path) -> None:
        self.nursery, self.root, self.place = nursery, root, place

    def __missing__(self, kind: str) -> tuple[Path, dict[str, Any], Any]:
        folder = self.place / str(len(self)) / "here"
        folder.mkdir(parents=True)
        ended = self.nursery.run("train.py", folder, *arguments(kind, self.root))
        assert ended["code"] == 0, ended["said"][-3000:]
        self[kind] = (folder, ended, left_by(folder))
        return self[kind]


@pytest.fixture(scope="module")
def whole(nursery, tiny_raw, tmp_path_factory) -> Whole:
    return Whole(nursery, tiny_raw, tmp_path_factory.mktemp("whole"))


def arguments(kind: str, root: Path) -> tuple[str, ...]:
    shared = f"data.cache_dir={root.parent / 'cache'}"
    return (*tiny_data(root), *SMALL_NET, shared, *LITTLE, *KINDS[kind], "hydra.run.dir=run")


def turn(
    number: int, folder: Path, whole: Whole
) -> tuple[random.Random, str, Path, dict[str, Any], Any]:
    """What a test draws from, the kind of its run, its folder, and how the whole run ended."""
    kind = TURNS[number % len(TURNS)]
    folder.mkdir()
    _, ended, expected = whole[kind]
    return random.Random(number), kind, folder, ended, expected


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_killed_anywhere_ends_as_if_nobody_had(number, nursery, whole, tiny_raw, tmp_path):
    """At any moment of its time, or any step of its writing; some of them again and again."""
    chance, kind, folder, ended, expected = turn(number, tmp_path / "here", whole)
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
    chance, kind, folder, ended, expected = turn(number, tmp_path / "here", whole)
    told, typed = [], arguments(kind, tiny_raw)
    for signal_ in chance.sample(list(STOPS), chance.choice([1, 1, 2])):
        first = chance.randint(1, ended["steps"])
        at = [first, first + chance.randint(1, 20)][: chance.choice([1, 2])]  # once, or once more
        after = chance.uniform(0, ended["seconds"]) if number % 2 else None
        stop = nursery.run(
            "train.py", folder, *typed, at=() if number % 2 else at, after=after, number=signal_
        )
        told.append(f"{STOPS[signal_]} {stop['place'] or after}")
        if stop["code"] == 0:  # it had ended before the signal came
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
    if stop["code"]:
        last = nursery.run("train.py", folder, *typed)
        assert last["code"] == 0, (told, last["said"][-3000:])
    print(f"\n{number} {kind}: {'; '.join(told)}")
    assert differences(expected, left_by(folder)) == [], told


@pytest.mark.parametrize("number", range(max(1, KILLS // 4)))
def test_a_disk_that_gets_full_anywhere_is_one_line_and_the_run_goes_on(
    number, nursery, whole, tiny_raw, small
):
    chance, kind, folder, ended, expected = turn(number, small / "here", whole)
    typed, at = arguments(kind, tiny_raw), chance.randint(2, ended["steps"])
    full = nursery.run("train.py", folder, *typed, at=[at], filling=small / "filler")
    print(f"\n{number} {kind}: {full['place']}")
    (small / "filler").unlink(missing_ok=True)
    if full["code"]:
        assert full["code"] == 1, full["said"][-3000:]
        (line,) = [one for one in full["said"].splitlines() if one.startswith("train.py: ")]
        assert "No space left on device" in line or "MiB are free" in line, line
        assert "Traceback" not in full["said"], full["said"][-3000:]
        *_, command = line.partition("python train.py ")
        typed = tuple(shlex.split(command)) or typed
        last = nursery.run("train.py", folder, *typed)
        assert last["code"] == 0, (line, last["said"][-3000:])
    assert differences(expected, left_by(folder)) == []


def test_a_disk_that_can_only_be_read_serves_as_a_cache_and_not_for_a_run(
    nursery, whole, tiny_raw, small, tmp_path
):
    kind, folder = TURNS[0], tmp_path / "here"
    folder.mkdir()
    before, _, expected = whole[kind]
    shutil.copytree(before, small, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    refused = nursery.run("train.py", folder, f"resume={small / 'run'}", "trainer.max_epochs=4")
    assert refused["code"] == 1, refused["said"][-3000:]
    (line,) = [one for one in refused["said"].splitlines() if one.startswith("train.py: ")]
    assert line.endswith("Read-only file system; choose a folder you may write to"), line
    typed = (*arguments(kind, tiny_raw), f"data.cache_dir={small / 'cache'}")
    last = nursery.run("train.py", folder, *typed)
    assert last["code"] == 0, last["said"][-3000:]
    weights = "run/checkpoints/epoch_003.ckpt"
    assert (
        differences(expected[weights]["state_dict"], left_by(folder)[weights]["state_dict"]) == []
    )


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


def test_a_study_that_is_stopped_says_that_it_is_not_complete(nursery, whole, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    network = whole[TURNS[0]][0] / "run" / "checkpoints" / "epoch_003.ckpt"
    typed = (f"checkpoint={network}", "study=ablation", "hydra.run.dir=out")
    whole_ = nursery.run("explain.py", folder, *typed)
    assert whole_["code"] == 0, whole_["said"][-3000:]
    shutil.rmtree(folder / "out")
    at = [whole_["steps"] * 3 // 4]
    stopped = nursery.run("explain.py", folder, *typed, at=at, number=signal.SIGINT)
    assert stopped["code"] == 130, stopped["said"][-3000:]
    (line,) = [one for one in stopped["said"].splitlines() if one.startswith("explain.py: ")]
    assert line.endswith("is not complete: name another folder, or delete it"), line
    assert not list((folder / "out").rglob(".*"))
