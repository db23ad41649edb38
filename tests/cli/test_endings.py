"""A script that is stopped, or finds the disk full, says in one line what is whole."""

import errno
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from segtrace import InputError
from segtrace.cli import endings, start_up
from segtrace.cli.endings import listening, told, typed, whole
from segtrace.data.cache.entries import LostSlicesError
from segtrace.errors import BrokenOffError
from segtrace.report.files import atomic

TRAINING = "callbacks: {}\nseed: 0\n"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Of a run that has just begun."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.yaml").write_text(TRAINING)
    monkeypatch.setattr(endings, "_folder", lambda: path)
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])
    return path


def finish(folder: Path, epoch: int, name: str = "last.ckpt") -> None:
    (folder / "checkpoints").mkdir(exist_ok=True)
    torch.save({"segtrace": {"epoch": epoch}}, folder / "checkpoints" / name)


def test_what_is_whole_is_the_last_full_checkpoint_and_the_command_goes_on_from_it(folder):
    begin = f"to begin again: python train.py resume={folder}"
    assert whole(folder) == f"no epoch was finished, what was prepared is kept; {begin}"
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "epoch_000.ckpt").write_bytes(b"")
    assert whole(folder).endswith(begin)
    finish(folder, 3, "previous.ckpt")
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    assert f"{folder} is whole up to epoch 3; to go on: python train.py" in whole(folder)
    finish(folder, 4)
    assert f"{folder} is whole up to epoch 4;" in whole(folder)


def test_of_explain_it_is_said_whether_it_is_complete(folder):
    (folder / "config.yaml").write_text("rules: null\n")
    assert whole(folder) == "nothing was written"
    (folder / "untrained").mkdir()
    assert whole(folder) == "nothing was written"
    (folder / "untrained" / "maps.npz").write_bytes(b"")  # what is beside it goes first
    assert "is not complete: name another folder, or delete it" in whole(folder)
    (folder / "maps.npz").write_bytes(b"")
    assert "is not complete: name another folder, or delete it" in whole(folder)
    (folder / "index.html").write_bytes(b"")
    assert whole(folder) == f"{folder} is complete: open {folder / 'index.html'}"


def test_classes_and_places_of_the_users_own_are_named_again(folder, monkeypatch):
    """As a run that goes on asks for them."""
    ema = "callbacks.ema._target_=pytorch_lightning.callbacks.EMAWeightAveraging"
    typed_ = ["++data.size=64", f"++{ema}", "++callbacks.flow.folder=/my maps", "seed=1"]
    monkeypatch.setattr(sys, "argv", ["train.py", *typed_])
    assert whole(folder).endswith(
        f": python train.py resume={folder} {ema} 'callbacks.flow.folder=/my maps'"
    )


def test_the_command_is_typed_as_the_shell_and_hydra_read_it():
    for value in ("/runs/a", "/runs/lr=1, b", "/runs/it's", '/runs/a"b', "/runs/ä", "/a\\b"):
        (argument,) = shlex.split(typed("resume", value))
        assert OverridesParser.create().parse_override(argument).value() == value


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "Ctrl-C"),
        (signal.SIGTERM, 143, "SIGTERM"),
        (signal.SIGHUP, 129, "SIGHUP, as its terminal was closed"),
    ],
)
def test_a_signal_ends_the_script_with_one_line_and_its_code(folder, capsys, number, code, word):
    finish(folder, 2)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as end, listening(), told():
        os.kill(os.getpid(), number)
    assert end.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"train.py: stopped by {word}; {folder} is whole up to epoch 2; "
        f"to go on: python train.py resume={folder}"
    )
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_folder_in_which_nothing_was_written_goes(folder, capsys, monkeypatch):
    (folder / "config.yaml").write_text("rules: null\n")  # of explain.py
    monkeypatch.setattr(start_up, "made", [folder])
    with pytest.raises(SystemExit), listening(), told():
        os.kill(os.getpid(), signal.SIGTERM)
    assert capsys.readouterr().err.endswith("stopped by SIGTERM; nothing was written\n")
    assert not folder.exists()


def test_before_the_run_has_begun_nothing_has_begun(capsys):
    with pytest.raises(SystemExit) as end, listening():
        os.kill(os.getpid(), signal.SIGINT)
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith("stopped by Ctrl-C; nothing has begun\n")


def test_a_process_that_only_helps_ends_without_a_word(folder, capsys, monkeypatch):
    monkeypatch.setattr(endings, "is_first", lambda: False)
    with pytest.raises(SystemExit) as end, listening(), told():
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 143
    assert capsys.readouterr().err == ""


def test_what_a_process_was_started_to_ignore_it_goes_on_to_ignore(folder):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_whose_exception_is_dropped_comes_again(folder, capsys, monkeypatch):
    """As one is that comes while Python calls what the end of an object has it call."""
    monkeypatch.setattr(endings, "PATIENCE", 0.05)

    class Dropping:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    def work():
        Dropping()
        time.sleep(5)

    with pytest.raises(SystemExit) as end, listening(), told():
        work()
    assert end.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert "stopped by Ctrl-C" in line


def test_a_signal_that_is_being_followed_does_not_come_again(folder, capsys, monkeypatch):
    """Whoever sees to the end of things is not disturbed."""
    monkeypatch.setattr(endings, "PATIENCE", 0.01)

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            time.sleep(0.1)
            finish(folder, 5)
            raise

    with pytest.raises(SystemExit) as end, listening(), told():
        work()
    assert end.value.code == 143
    assert "is whole up to epoch 5" in capsys.readouterr().err


def test_an_error_in_the_wake_of_a_signal_is_the_signal(folder, capsys):
    """As Lightning raises where it tears down loaders that are not built yet."""

    def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            raise RuntimeError("torn down before it was built")

    with pytest.raises(SystemExit) as end, listening(), told():
        work()
    assert end.value.code == 130
    assert "stopped by Ctrl-C" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("number", "ends"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_forked_process_leaves_ctrl_c_to_the_first_and_dies_of_sigterm(number, ends):
    with listening():
        child = os.fork()
        if child == 0:
            try:
                os.kill(os.getpid(), number)
            finally:
                os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == ends
    assert os.WTERMSIG(status) == number if ends else os.WEXITSTATUS(status) == 7


class Pressed(pl.Callback):
    """Somebody presses Ctrl-C in the middle of a pass."""

    def on_train_batch_end(self, *_):
        os.kill(os.getpid(), signal.SIGINT)


class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.net(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
def test_lightning_swallows_ctrl_c_and_it_is_told_all_the_same(folder, capsys):
    trainer = pl.Trainer(max_epochs=1, barebones=True, accelerator="cpu", callbacks=[Pressed()])
    with pytest.raises(SystemExit) as end, listening(), told():
        trainer.fit(Tiny(), torch.utils.data.DataLoader(torch.zeros(2, 1)))
    assert end.value.code == 130
    assert "stopped by Ctrl-C; no epoch was finished" in capsys.readouterr().err


def test_a_script_that_ends_by_itself_is_left_alone(folder):
    with pytest.raises(SystemExit) as end, told():
        sys.exit(1)
    assert end.value.code == 1


def raised(error):
    raise error


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")
FULL = {
    "by ours": lambda folder: raised_inside_atomic(folder / "a.txt", NO_ROOM),
    "by another package": lambda folder: raised(NO_ROOM),
    "with a name": lambda folder: raised(OSError(errno.ENOSPC, "No space left on device", "x")),
    "by a quota": lambda folder: raised(OSError(errno.EDQUOT, "Disk quota exceeded")),
    "by numpy": lambda folder: raised(OSError("4096 requested and 12 written")),
    "by a limit": lambda folder: raised(OSError(errno.EFBIG, "File too large")),
}


def raised_inside_atomic(path, error):
    with atomic(path):
        raise error


@pytest.mark.parametrize("way", FULL)
def test_a_full_disk_is_one_line_that_says_what_is_whole(folder, way):
    finish(folder, 2)
    with pytest.raises(InputError) as caught, told():
        FULL[way](folder)
    said = str(caught.value)
    assert said.startswith("cannot write")
    assert "(None)" not in said
    assert said.endswith(f"{folder} is whole up to epoch 2; "
                         f"to go on: python train.py resume={folder}")  # fmt: skip
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("DataLoader worker (pid 77) is killed by signal: Killed. ", "killed by signal: Killed"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "exited unexpectedly"),
    ],
)
def test_a_worker_that_is_killed_is_one_line_that_says_how_to_go_on(folder, error, reason):
    finish(folder, 2)
    with pytest.raises(InputError) as caught, told():
        raise RuntimeError(error)
    assert str(caught.value) == (
        f"a process that reads slices was ended from outside ({reason}), by a lack of memory or of "
        f"/dev/shm perhaps; data.num_workers=0 does without; {folder} is whole up to epoch 2; "
        f"to go on: python train.py resume={folder}"
    )


class Lost(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise LostSlicesError("/cache/0005/image.npy was taken away")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_slices_that_a_worker_lost_are_one_line_without_its_traceback(folder, workers):
    finish(folder, 2)
    with pytest.raises(InputError) as caught, told():
        next(iter(torch.utils.data.DataLoader(Lost(), num_workers=workers)))
    assert str(caught.value) == (
        f"/cache/0005/image.npy was taken away; {folder} is whole up to epoch 2; "
        f"to go on: python train.py resume={folder}"
    )


def test_of_a_folder_of_images_it_is_said_how_to_go_on(folder, monkeypatch):
    images = folder.parent / "images of mine"
    images.mkdir()
    (images / "a.nii").touch()
    (folder / "config.yaml").write_text(f"image: {images}\n")
    (folder / "a").mkdir()
    (folder / "a" / "whole.json").touch()
    (folder / "a" / "manifest.json").touch()
    monkeypatch.setattr(sys, "argv", ["explain.py", "++image=images of mine", "hydra.run.dir=out"])
    command = f"python explain.py 'image=images of mine' hydra.run.dir={folder}"
    assert whole(folder) == f"1 image explained; to go on: {command}"


def test_a_folder_that_must_not_be_written_is_one_line_and_no_run_to_go_on_with(folder):
    with pytest.raises(InputError, match=r"^cannot write /x: Not a directory; a") as caught, told():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x")
    assert "resume" not in str(caught.value)
    with pytest.raises(InputError, match=r"^organ 'livr'$"), told():
        raise InputError("organ 'livr'")


def test_a_defect_keeps_its_traceback(folder):
    for error in (FileNotFoundError(errno.ENOENT, "No such file", "x"), KeyError("x")):
        with pytest.raises(type(error)), told():
            raise error


def test_errors_that_are_each_the_cause_of_the_other_end_too(folder):
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    with pytest.raises(ValueError, match="one"), told():
        raise one


def test_a_thread_that_finds_the_disk_full_prints_nothing(folder, capsys):
    """TensorBoard's dies so, and the next one who writes is told of it."""
    with listening():
        for error in (NO_ROOM, ValueError("a defect")):
            thread = threading.Thread(target=raised, args=(error,))
            thread.start()
            thread.join()
    said = capsys.readouterr().err
    assert "No space left" not in said
    assert "a defect" in said


def test_of_an_evaluation_it_is_said_how_to_go_on(folder, monkeypatch):
    target = "segtrace.studies.evaluation.study.Evaluate"
    (folder / "config.yaml").write_text(f"study: {{_target_: {target}}}\n")
    for name in ("evaluation.csv", "whole/0001.json", "whole/.0002.json.77.part"):
        (folder / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "test" / name).touch()
    monkeypatch.setattr(sys, "argv", ["explain.py", "++evaluate=true", "hydra.run.dir=out"])
    command = f"python explain.py evaluate=true hydra.run.dir={folder}"
    assert whole(folder) == f"1 case scored; to go on: {command}"
    (folder / "test" / "evaluation.csv").unlink()  # for which the disk had no room
    assert whole(folder) == f"1 case scored; to go on: {command}"
    (folder / "test" / "whole" / "0001.json").unlink()
    assert whole(folder) == f"0 cases scored; to go on: {command}"
    (folder / "test" / "whole" / ".0002.json.77.part").unlink()
    assert whole(folder) == "nothing was written"


CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
CPU = (
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA), "the GPU is out of memory (another 20.00 GiB were asked"),
        (RuntimeError(CPU), "out of memory (another 4000000000000 bytes were asked for); ask"),
        (MemoryError(), "out of memory; ask for less: data.batch_size=4, or a narrower network"),
    ],
)
def test_a_lack_of_memory_is_one_line_with_what_takes_less(error, said, folder):
    (folder / "config.yaml").write_text(f"{TRAINING}data: {{batch_size: 8}}\n")
    with pytest.raises(BrokenOffError) as caught, told():
        raise error
    assert str(caught.value).startswith(said)
    assert "data.batch_size=4, or a narrower network, model.net.…" in str(caught.value)
    (folder / "config.yaml").write_text("rules: null\n")
    with pytest.raises(BrokenOffError, match="ask for less: fewer slices"), told():
        raise error


def test_torch_says_so_in_these_words(folder):
    with pytest.raises(BrokenOffError, match=r"^out of memory \(another \d+ bytes were"), told():
        torch.empty(2**50)
