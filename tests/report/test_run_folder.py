"""A folder is taken for one process, and nothing in it is overwritten by any door."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

import segtrace
from segtrace import InputError
from segtrace.names import LOCK
from segtrace.report import run_folder
from segtrace.report.run_folder import Lock, kind_of, result_in, taken

HOLDER = f"""
import fcntl, os, sys
file = open(sys.argv[1] + "/{LOCK}", "a+")
fcntl.flock(file, fcntl.LOCK_EX)
print("process", os.getpid(), "on a machine", file=file, flush=True)
print("held", flush=True)
sys.stdin.read()
"""
"""Another process that has the folder, without the seconds that our packages take to load."""
TRAINING = "callbacks: {}\nseed: 0\n"


def test_a_folder_that_is_being_written_is_refused_and_who_writes_is_named(tmp_path):
    with Lock(tmp_path / "run"):
        with pytest.raises(InputError) as caught:
            Lock(tmp_path / "run")
        said = str(caught.value)
    assert f"{tmp_path / 'run'} is being written by process {os.getpid()} on " in said
    assert said.endswith("wait for its end, or name another folder, hydra.run.dir=…")
    assert "\n" not in said


def test_the_folder_is_free_when_it_is_released_and_no_lock_stays(tmp_path):
    for _ in range(2):
        with Lock(tmp_path):
            assert (tmp_path / LOCK).is_file()
        assert list(tmp_path.iterdir()) == []


def test_a_file_of_somebody_s_own_under_the_lock_s_name_stays(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine\n")
    for place, make in {
        "link": lambda lock: lock.symlink_to(mine),
        "file": lambda lock: lock.write_text("mine\n"),
        "folder": lambda lock: lock.mkdir(),
    }.items():
        (tmp_path / place).mkdir()
        make(tmp_path / place / LOCK)
        with pytest.raises(InputError, match=r"\.lock is no (plain file|lock of segtrace's); "):
            Lock(tmp_path / place)
        assert os.path.lexists(tmp_path / place / LOCK)
    assert mine.read_text() == (tmp_path / "file" / LOCK).read_text() == "mine\n"


def test_a_lock_that_nobody_refers_to_any_more_is_released(tmp_path):
    lock = Lock(tmp_path)
    del lock
    assert list(tmp_path.iterdir()) == []


def held_by(script: str, folder: Path) -> subprocess.Popen:
    """A process that has the folder, so that this one is refused it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"written by process {holder.pid} on "):
        Lock(folder)
    return holder


def test_a_process_that_was_killed_holds_nobody_up(tmp_path):
    holder = held_by(HOLDER, tmp_path)
    holder.kill()
    holder.communicate()
    assert (tmp_path / LOCK).is_file()  # it is left behind, and locks nothing
    with Lock(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


FORKED = """
import os, sys, time
from pathlib import Path
from segtrace.report.run_folder import Lock
lock = Lock(Path(sys.argv[1]))
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_worker_that_outlives_a_killed_process_holds_nobody_up(tmp_path):
    """A loader's looks every few seconds whether it is still wanted."""
    holder = held_by(FORKED, tmp_path)
    holder.kill()
    try:
        holder.communicate()
        Lock(tmp_path).release()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_copy_does_not_give_the_folder_back(tmp_path):
    """As a data loader's process is one, which ends while the training goes on."""
    lock = Lock(tmp_path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK).is_file()
    with pytest.raises(InputError, match="is being written"):
        Lock(tmp_path)


def test_a_lock_whose_file_was_taken_away_meanwhile_is_tried_again(tmp_path, monkeypatch):
    """Between opening the file and locking it, another process may end and remove it."""
    seen, lock = [], fcntl.flock

    def taken_away_the_first_time(file, how):
        if not seen:
            seen.append(file)
            (tmp_path / LOCK).unlink()
        return lock(file, how)

    monkeypatch.setattr(fcntl, "flock", taken_away_the_first_time)
    with Lock(tmp_path), pytest.raises(InputError, match="is being written"):
        Lock(tmp_path)
    assert seen


def test_where_the_system_has_no_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Lock(tmp_path):
        assert "cannot be locked (No locks available): let no other" in capsys.readouterr().out
    monkeypatch.setattr(run_folder, "fcntl", None)
    with Lock(tmp_path):
        assert "cannot be locked on this system" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/epoch_000.ckpt", "checkpoints/last.ckpt", "flow/measures.csv",
        "tensorboard/events.out.tfevents.1", "dice.csv", "manifest.json", "img0001/manifest.json",
        "epoch_001/img0001/manifest.json", "verdicts.csv", "epoch_001/verdicts.csv", "maps.npz",
        "measures.csv", "seeds.csv", "index.html",
    ],
)  # fmt: skip
@pytest.mark.parametrize("script", ["train", "explain"])
def test_results_of_either_script_keep_both_out(tmp_path, name, script):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("kept")
    words = r"holds results already .*, and nothing is overwritten; name"
    with pytest.raises(InputError, match=words):
        taken(tmp_path, script, "to go on, say resume=…")
    assert path.read_text() == "kept"
    assert not (tmp_path / LOCK).exists()


def test_the_configuration_of_the_other_script_is_not_replaced(tmp_path):
    for own, other, text in (("train", "explain", TRAINING), ("explain", "train", "rules: null\n")):
        (tmp_path / "config.yaml").write_text(text)
        assert kind_of(tmp_path) == own
        with taken(tmp_path, own):  # of its own, that came to nothing
            pass
        with pytest.raises(InputError, match=r"holds results already \(config.yaml\)"):
            taken(tmp_path, other)


def test_an_empty_folder_and_one_with_other_files_can_be_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "config.yaml").write_text("[no mapping")
    assert result_in(tmp_path) is None
    assert kind_of(tmp_path) is None
    with taken(tmp_path, "train"), pytest.raises(InputError, match="being written"):
        taken(tmp_path, "explain")


def test_a_process_that_only_helps_takes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with taken(tmp_path / "run", "train"):
        assert not (tmp_path / "run").exists()


def test_explaining_from_python_overwrites_nothing_either(tmp_path):
    (tmp_path / "measures.csv").write_text("kept")
    with pytest.raises(InputError, match=r"holds results already \(measures.csv\).*, out=…$"):
        segtrace.explain(nn.Identity(), [()], {}, {"liver": 1}, out=tmp_path)
    with (
        Lock(tmp_path / "busy"),
        pytest.raises(InputError, match=r"is being written .* name another folder, out=…$"),
    ):
        segtrace.explain(nn.Identity(), [()], {}, {"liver": 1}, out=tmp_path / "busy")


def test_a_folder_inside_a_run_is_its_own(tmp_path):
    (tmp_path / "config.yaml").write_text("callbacks: {}\n")  # of a program of the user's own
    run = tmp_path / "run"
    taken(run, "train").release()
    (run / "config.yaml").write_text("{seed: 0, data: {}, model: {}, trainer: {}, callbacks: {}}")
    for script, inner in {"train": "later", "explain": "checkpoints"}.items():
        with pytest.raises(InputError, match=f"{inner} is inside the folder of another run, {run}"):
            taken(run / inner, script)
        assert not (run / inner).exists()
    taken(run / "explained", "explain").release()


def test_a_folder_with_results_goes_on_under_its_own_configuration_alone(tmp_path):
    own = "image: folder\nregion: gt\nprocesses: 1\n"
    (tmp_path / "config.yaml").write_text(own)
    (tmp_path / "images.csv").write_text("image\n")
    with pytest.raises(InputError, match="holds results already"):
        taken(tmp_path, "explain")
    for other, there in (
        (own.replace("gt", "pred"), 'region="gt"'),
        (own.replace("folder", "another"), 'image="folder"'),
        (f"{own}rules: [grad_pam]\n", "rules=null"),
        ("", 'image="folder", region="gt"'),
    ):
        said = f"results of other options, {re.escape(there)}, and nothing is overwritten or mixed"
        with pytest.raises(InputError, match=f"^[^\n]*{said}; with those the same .*hydra.run.dir"):
            taken(tmp_path, "explain", goes_on=other)
    for same in (own, own.replace("1", "2")):
        taken(tmp_path, "explain", goes_on=same).release()
    with pytest.raises(InputError, match="holds results already"):
        taken(tmp_path, "train", goes_on="seed: 1\n")
