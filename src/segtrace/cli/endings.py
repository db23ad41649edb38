"""How a script ends when it is stopped, or the disk is full: one line that says how to go on."""

import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString

from segtrace.checkpoint.loading import describe
from segtrace.cli import start_up
from segtrace.cli.start_up import NOTHING, SIGNALS, called, say
from segtrace.cli.taken_back import take_back, untouched
from segtrace.cli.train.resume.broken_off import LAST, PREVIOUS
from segtrace.data.cache.entries import LostSlicesError
from segtrace.errors import BrokenOffError, InputError, is_full, is_out_of_memory, why
from segtrace.progress import counted, is_first
from segtrace.report.files import REMEDIES
from segtrace.report.run_folder import kept_in, kind_of, result_in

PATIENCE = 2.0
"""Seconds until a signal that nobody has taken notice of is sent once more."""
PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+")
"""Letters that neither the shell nor Hydra reads as anything else."""

UNWRITTEN = "nothing was written"
"""Said of a folder without results, which goes where it was made for them."""
PLACE = re.compile(r"(callbacks|logger)\.[^=]*\.(folder|save_dir)=")
"""Options that say where something is written."""
ASKED = re.compile(r"ried to allocate ([\d.]+ \w+)")
"""How much memory, in torch's words."""
DEAD = re.compile(r"DataLoader worker.*?(killed by signal: [^.]+|exited unexpectedly)")
"""What torch says of a loader's process that it has not ended itself."""


class Stopped(KeyboardInterrupt):
    """Somebody, or the system, has asked the process to end.

    Lightning, data loaders and pools treat it as the Ctrl-C that it may be.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.words = NOTHING
        self.heed: Callable[[], None] = lambda: None
        """Send the signal no more: somebody is at work on it."""
        super().__init__(SIGNALS.get(signal.Signals(number), "stopped"))


@contextmanager
def listening() -> Iterator[None]:
    """Inside the block a request to end is :class:`Stopped`, and ends the script with one line.

    The exit code is 128 and the number of the signal, as of a program that does not listen.
    """
    if threading.current_thread() is not threading.main_thread():  # which signals never reach
        yield
        return
    # What the process was started with to ignore, in the background say, it goes on to ignore.
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    ear = _Ear()
    before = {number: signal.signal(number, ear) for number in heard}
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = _quiet_of_full_disks, _quiet_of_stops
    try:
        yield
    except Stopped as stop:
        for number in heard:  # a second one has nothing to add
            signal.signal(number, signal.SIG_IGN)
        if is_first():
            if stop.words == UNWRITTEN:
                take_back(start_up.made)
            say(f"{stop}; {stop.words}")
        sys.exit(128 + stop.number)
    finally:
        ear.close()
        threading.excepthook, sys.unraisablehook = hooks
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def told() -> Iterator[None]:
    """Around a script's work: what is whole, and how to go on, where it cannot be finished.

    Raises:
        InputError: a file cannot be written, the disk is full, or there is no memory left.
        Stopped: with these words.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise _with_words(stop) from None
    except BaseException as error:
        # Lightning turns Ctrl-C into a silent exit, or fails to tear down what was half built.
        if (behind := _stop_behind(error)) is not None:
            raise _with_words(behind) from None
        if (answer := _as_answer(error)) is not None:
            raise answer from error
        raise


def _as_answer(error: BaseException) -> InputError | None:
    """What is told of an error; ``None`` for what is told by itself, or is a defect."""
    if isinstance(error, LostSlicesError):
        return BrokenOffError(f"{error}; {whole_here()}")
    if is_out_of_memory(error):
        return BrokenOffError(_of_memory(error))
    if isinstance(error, RuntimeError) and (found := DEAD.search(str(error))):
        return BrokenOffError(
            f"a process that reads slices was ended from outside ({found[1]}), by a lack of memory "
            f"or of /dev/shm perhaps; data.num_workers=0 does without; {whole_here()}"
        )
    if isinstance(error, InputError) and is_full(error.__cause__):
        return BrokenOffError(f"{error}; {whole_here()}")
    if isinstance(error, OSError) and (error.errno in REMEDIES or is_full(error)):
        remedy = REMEDIES.get(error.errno or 0, "free some space")
        place = f" {error.filename}" if error.filename else ""
        line = f"cannot write{place}: {why(error)}; {remedy}"
        return BrokenOffError(f"{line}; {whole_here()}") if is_full(error) else InputError(line)
    return None


def _of_memory(error: BaseException) -> str:
    """How much was asked for of which memory, and what takes less."""
    said, asked = str(error), ASKED.search(str(error))
    where = "the GPU is out of memory" if "CUDA" in said else "out of memory"
    line = f"{where}{f' (another {asked[1]} were asked for)' if asked else ''}"
    folder = _folder()
    if kind_of(folder) != "train":
        return f"{line}; ask for less: fewer slices with probes.n=…, fewer organs, processes=1"
    data = kept_in(folder).get("data")
    size = data.get("batch_size") if isinstance(data, dict) else None
    smaller = (
        f"data.batch_size={size // 2}" if isinstance(size, int) and size > 1 else "data.size=…"
    )
    return f"{line}; ask for less: {smaller}, or a narrower network, model.net.…"


def whole(folder: Path) -> str:
    """What lies whole in a run's folder, and the command that goes on from there."""
    if kind_of(folder) != "train":
        scored = _cases_scored(folder)  # whose table comes later
        if result_in(folder) is None and not scored and untouched(folder):
            return UNWRITTEN
        if (page := folder / "index.html").exists():  # which is written last
            return f"{folder} is complete: open {page}"
        if (done := _images_explained(folder)) is not None:
            return f"{counted(done, 'image')} explained; to go on: {_again(folder)}"
        if (cases := _cases_scored(folder)) is not None:
            return f"{counted(cases, 'case')} scored; to go on: {_again(folder)}"
        return f"{folder} is not complete: name another folder, or delete it"
    command = " ".join([called("train"), typed("resume", str(folder)), *_named_again()])
    for name in (LAST, PREVIOUS):
        try:
            epoch = describe(folder / "checkpoints" / name)["epoch"]
        except (InputError, KeyError):
            continue
        return f"{folder} is whole up to epoch {epoch}; to go on: {command}"
    return f"no epoch was finished, what was prepared is kept; to begin again: {command}"


def whole_here() -> str:
    """The same of the run that this process is at work on."""
    return whole(_folder())


def _images_explained(folder: Path) -> int | None:
    """Of a folder of images, how many are whole; ``None`` where one image or none was named."""
    from segtrace.cli.explain.each_image import whole_in  # train.py needs none of it

    named = kept_in(folder).get("image")
    return whole_in(folder) if isinstance(named, str) and Path(named).is_dir() else None


def _cases_scored(folder: Path) -> int | None:
    """Of an evaluation, how many cases are whole; ``None`` of anything else."""
    from segtrace.studies.evaluation.kept import whole_in  # train.py needs none of it

    study = kept_in(folder).get("study")
    target = study.get("_target_") if isinstance(study, dict) else None
    return whole_in(folder) if str(target).endswith(".Evaluate") else None


def _named_again() -> list[str]:
    """Of what was typed, the classes and places that a run which goes on asks for again."""
    given = [one.lstrip("+") for one in sys.argv[1:]]
    return [shlex.quote(one) for one in given if "_target_" in one or PLACE.match(one)]


def _again(folder: Path) -> str:
    """The command as it was typed, with the folder in which it goes on."""
    given = [one.removeprefix("++") for one in sys.argv[1:]]
    kept = [one for one in given if not one.startswith("hydra.run.dir=")]
    return f"{called('explain')} {shlex.join(kept)} {typed('hydra.run.dir', str(folder))}"


def typed(key: str, value: str) -> str:
    """``key=value`` as it is typed, in quotes for Hydra and the shell where it needs them.

    >>> print(typed("resume", "/runs/a"), typed("resume", "/runs/a=b"))
    resume=/runs/a 'resume="/runs/a=b"'
    """
    if set(value) <= PLAIN:
        return f"{key}={value}"
    return shlex.quote(f"{key}={QuotedString(text=value, quote=Quote.double).with_quotes()}")


class _Ear:
    """Turns signals into :class:`Stopped`, until one is taken notice of.

    Python drops an exception that comes while it calls what a fork or the end of an object has it
    call: after a while the signal is sent once more, unless somebody is at work on it.

    Processes that this one has forked, loaders and pools, get the Ctrl-C of a terminal as well:
    they leave it to this one, which ends them by SIGTERM.
    """

    def __init__(self) -> None:
        self.owner, self.timer = os.getpid(), threading.Timer(0, int)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.owner:
            _die_quietly(number)
        elif _stop_behind(sys.exc_info()[1]) is None:
            self.close()
            self.timer = threading.Timer(PATIENCE, os.kill, (self.owner, number))
            self.timer.daemon = True
            self.timer.start()
            stopped = Stopped(number)
            stopped.heed = self.close
            raise stopped

    def close(self) -> None:
        """Send nothing more."""
        self.timer.cancel()


def _die_quietly(number: int) -> None:
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _stop_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The request to end in whose wake an error was raised, or that is being followed now."""
    seen: set[int] = set()  # an error that is raised again behind itself makes a ring
    while error is not None and not isinstance(error, KeyboardInterrupt):
        seen.add(id(error))
        error = error.__cause__ or error.__context__
        if id(error) in seen:
            return None
    return error


def _with_words(stop: KeyboardInterrupt) -> Stopped:
    found = stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT)
    found.words = whole_here()
    return found


def _folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def _quiet_of_stops(args: "sys.UnraisableHookArgs") -> None:
    """What was dropped comes again."""
    if not isinstance(args.exc_value, Stopped):
        sys.__unraisablehook__(args)


def _quiet_of_full_disks(args: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread dies of a full disk, and whoever writes next is told of it."""
    if not is_full(args.exc_value):
        threading.__excepthook__(args)
