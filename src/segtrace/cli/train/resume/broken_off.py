"""What a run that was broken off left behind: a checkpoint to go on from, or nothing whole."""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segtrace.checkpoint.loading import DESCRIPTION, read
from segtrace.cli.train.resume.full_state import IDENTITY, Expected, check_full, watched_in
from segtrace.errors import InputError
from segtrace.progress import is_first, say
from segtrace.report.run_folder import TRAINED
from segtrace.tracking.tracker import reached_in
from segtrace.training.callbacks.own_folder import KEPT

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
EPOCH = re.compile(r"epoch_(\d+)(\.ckpt)?")
ANY = Expected()
"""Of a run of which nothing more is known."""
DRAFTS = (".*.part", ".*.partial")
"""What a process that was killed while it wrote leaves of a file; it is never read."""


@dataclass(frozen=True)
class Left:
    """A full checkpoint, without its tensors.

    Attributes:
        path: the file.
        epoch: finished passes.
        batches: after which the optimiser has stepped; Lightning logs by them.
        shapes: name -> shape of every weight.
        identity: what ``Continuity`` kept of the run; ``None`` in one of an older version.
        reached: what ``FlowCallback`` had written -> its last epoch; empty where there was none.
    """

    path: Path
    epoch: int
    batches: int
    shapes: Mapping[str, tuple[int, ...]]
    identity: Mapping[str, Any] | None
    reached: Mapping[str, int] = field(default_factory=dict)


def left_in(folder: Path, named: Path | None = None, expected: Expected = ANY) -> Left | None:
    """The newest whole checkpoint that a training can go on from; ``None`` where there is none.

    Args:
        folder: the checkpoints of the run.
        named: the one that the user named; the newest where it is a run's folder.
        expected: what the run keeps.

    Raises:
        InputError: it holds no state of a training; all are damaged.
    """
    names = [folder / LAST, folder / PREVIOUS]
    if named is not None and named.is_file() and named.resolve() != names[0].resolve():
        return read_left(named, expected)
    damage = []
    for path in names:
        try:
            found = read_left(path, expected) if path.exists() else None
        except InputError as error:
            damage.append(str(error))
            continue
        if found is not None:
            if path != names[0] and is_first():
                why = damage[0] if damage else f"{names[0]} is not there"
                say(f"{why}. Going on from {path}, the one before it.")
            return found
    if damage:
        raise InputError(f"{'; '.join(damage)}; begin another run in another folder")
    return None


def read_left(path: Path, expected: Expected = ANY) -> Left:
    """Read a full checkpoint.

    Args:
        path: the file.
        expected: what the run keeps.

    Raises:
        InputError: it is damaged, or holds no state of a training.
    """
    saved = read(path, numpy=False)  # as strictly as Lightning will
    try:
        check_full(saved, expected)
    except ValueError as error:
        raise InputError(
            f"{path} holds no state of a training to go on from ({error}); name the run's folder, "
            f"or its {LAST}"
        ) from None
    fit, callbacks = saved["loops"]["fit_loop"], saved["callbacks"]
    watched = [callbacks[name] for name in watched_in(saved)][:1]  # the first alone has logged
    return Left(
        path=path,
        epoch=saved[DESCRIPTION]["epoch"],
        batches=fit["epoch_loop.state_dict"]["_batches_that_stepped"],
        shapes={name: tuple(tensor.shape) for name, tensor in saved["state_dict"].items()},
        identity=callbacks.get(IDENTITY),
        reached=reached_in(watched[0]) if watched else {},
    )


def begin_anew(folder: Path, flow: Path | None, checkpoints: Path | None = None) -> None:
    """Take away what a run left that was broken off before its first full checkpoint.

    Args:
        folder: of the run.
        flow: where its maps and tables are; untouched outside the run's folder.
        checkpoints: where its checkpoints are, which are no other run's, wherever they are.

    Raises:
        InputError: it got further than that, so that its results are worth something.
    """
    found = list(_begun(folder, flow, checkpoints))
    for path in found:
        number = EPOCH.fullmatch(path.name)
        if path.name in ("dice.csv", "dice_test.csv") or (number and int(number[1]) > 1):
            shown = path.relative_to(folder) if folder in path.parents else path
            raise InputError(
                f"{folder} holds results ({shown}) and no full checkpoint to go on from, and "
                "nothing is overwritten; begin another run in another folder"
            )
    say(f"{folder} was broken off before its first full checkpoint; it begins anew there.")
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _begun(folder: Path, flow: Path | None, checkpoints: Path | None) -> Iterator[Path]:
    for pattern in TRAINED:
        yield from folder.glob(pattern)
    if flow is not None and folder in flow.parents and flow != folder / "flow" and flow.is_dir():
        yield from flow.iterdir()
    if checkpoints is not None and checkpoints != folder / "checkpoints":
        yield from (path for name in KEPT for path in checkpoints.glob(name))


def remove_drafts(folder: Path) -> None:
    """Take away what was being written when the run was killed."""
    for pattern in DRAFTS:
        for path in folder.rglob(pattern):
            path.unlink(missing_ok=True)
