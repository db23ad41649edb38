"""A process keeps to its share of the machine; several hand back what one would have found."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from helpers.tasks import Squares
from segtrace import InputError, processes
from segtrace.errors import is_full
from segtrace.processes import (
    allotted,
    in_threads,
    keep_to_allotment,
    side_by_side,
    threads_of_each,
)

SQUARES = Squares(torch.ones(3))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Of eight cores, with a control group of its own, and nothing said in the environment."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: range(8), raising=False)
    monkeypatch.setattr(processes, "CGROUPS", tmp_path)
    monkeypatch.setattr(processes, "OWN_CGROUP", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "slurm", "cores"),
    [
        ({}, None, 8),
        ({"job/step/cpu.max": "max 100000\n"}, None, 8),
        ({"job/step/cpu.max": "350000 100000\n"}, None, 3),
        ({"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 100000\n"}, None, 2),
        ({"cpu.max": "50000 100000\n"}, None, 1),
        ({"job/cpu.max": "not a quota"}, None, 8),
        ({}, "4", 4),
        ({"cpu.max": "600000 100000"}, "16", 6),
        ({}, "many", 8),
    ],
)
def test_the_allotment_is_the_least_of_what_is_granted(machine, monkeypatch, files, slurm, cores):
    for name, text in files.items():
        (machine / name).write_text(text)
    if slurm:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
    assert allotted() == cores


def test_threads_are_lowered_to_the_share_and_never_raised(machine, monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        assert [threads_of_each(n) for n in (1, 2, 3, 20)] == [6, 4, 2, 1]
        keep_to_allotment(2)
        assert torch.get_num_threads() == 4
        keep_to_allotment()
        assert torch.get_num_threads() == 4
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        assert threads_of_each(8) == 4
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def flushed():
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def squared(numbers, count):
    with side_by_side(SQUARES, numbers, count, "processes=1") as each:
        return [*each]


def test_two_processes_hand_back_in_order_what_one_would_have_found(flushed, capsys):
    found, lines = {}, {}
    for count in (1, 2):
        with pytest.warns(UserWarning, match="nothing to square"):
            found[count] = squared(range(5), count)
        said = capsys.readouterr().out.splitlines()
        lines[count] = [line.partition("] ")[2] for line in said]
    assert found[1] == found[2]
    assert [row[0] for row in found[2]] == [0, 1, 4, 9, 16]
    assert found[2][0][2], "denormals are flushed as in the process that waits"
    assert lines[1] == lines[2] == [f"squaring {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1, 101, 2], "cannot write squares.txt: No space left on device; free some space or"),
        ([1, 77, 2], "my_module:square raised KeyError: 'weights'"),
        ([1, -1, 2], "was ended, by a lack of memory perhaps; say processes=1"),
    ],
)
def test_what_ends_a_task_is_one_line(numbers, said):
    with pytest.raises(InputError, match=said) as caught:
        squared(numbers, 2)
    assert is_full(caught.value.__cause__) == ("No space" in said)


def test_threads_work_at_once_and_hand_back_in_order_what_one_would_have_found():
    both, before = threading.Barrier(2, timeout=30), torch.get_num_threads()

    def waits(number):
        both.wait()  # of tasks that come after each other the first would wait for ever
        return number, torch.get_num_threads()

    with in_threads(waits, range(6), 2) as found:
        assert [*found] == [(number, threads_of_each(2)) for number in range(6)]
    with pytest.raises(ZeroDivisionError), in_threads(lambda one: one / 0, [1, 2], 2) as found:
        next(found)
    assert torch.get_num_threads() == before
    with in_threads(lambda _: threading.get_ident(), [1, 2], 1) as found:
        assert {*found} == {threading.get_ident()}


def test_what_cannot_be_sent_is_one_line():
    beside = side_by_side(lambda number: number, [1, 2], 2, "processes=1")
    with pytest.raises(InputError, match=r"process cannot be given .*; say processes=1"), beside:
        pass


def test_a_process_ends_with_the_one_that_started_it():
    waits = (
        "import os, time; from segtrace.processes import end_with\n"
        "end_with(os.getppid()); print('here', flush=True); time.sleep(600)"
    )
    starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {waits!r}])"
    first = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"here\n"
    first.kill()
    first.communicate(timeout=60)  # which both could write to
