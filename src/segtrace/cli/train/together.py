"""The processes of one training: how they start, and how all end when one does."""

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from signal import Signals
from types import FrameType
from typing import Any, Never

import pytorch_lightning as pl
from hydra.core.override_parser.types import ValueType
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from segtrace.cli.command_line import parse
from segtrace.cli.endings import PLAIN, whole_here
from segtrace.cli.start_up import FIRST, called, say
from segtrace.errors import InputError
from segtrace.processes import keep_to_allotment

PAUSE, PATIENCE = 0.2, 6.0
"""Seconds between two looks at the other processes; until one that is dying has died."""


class Launcher(_SubprocessScriptLauncher):
    """Lightning's, but that the end of a process is told, and none is left behind.

    Lightning's own observer kills the first process without a word.
    """

    _ending = False

    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Any = None, **options: Any
    ) -> Any:
        """Start the others, if they are not there yet, and call the function."""
        environment = self.cluster_environment
        environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not environment.creates_processes_externally:
            os.environ[FIRST] = str(os.getpid())
            self._call_children_scripts()
            threading.Thread(target=self._observe, daemon=True).start()
        # What SLURM starts has a share of its own already.
        keep_to_allotment(self.num_processes if FIRST in os.environ else 1)
        try:
            return function(*args, **options)
        except InputError:  # which the others may be about to say as well
            self.kill(Signals.SIGKILL)
            raise
        except Exception:  # since another process has died, perhaps
            # A process that only helps is ended meanwhile, if it was the first.
            self._observe(time.monotonic() + PATIENCE)
            self.kill(Signals.SIGKILL)
            raise

    def kill(self, signum: int | Signals) -> None:
        """Which is the end of the training, and not of a process alone."""
        self._ending = True
        super().kill(signum)

    def _observe(self, until: float = float("inf")) -> None:
        """End the training when another process ends in any other way than it should."""
        while not self._ending and time.monotonic() < until:
            for rank, process in enumerate(self.procs, 1):
                if process.poll() and not self._ending:
                    self._end(rank, process)
            time.sleep(PAUSE)

    def _end(self, rank: int, died: subprocess.Popen[Any]) -> Never:
        self._ending = True
        for process in self.procs:
            process.kill()
        say(
            f"process {rank + 1} of {self.num_processes} {_how(died.returncode)}, so the training "
            f"has ended; {whole_here()}"
        )
        os._exit(1)


def _how(code: int) -> str:
    if code < 0:
        cause = ", by a lack of memory perhaps" if Signals(-code) == Signals.SIGKILL else ""
        return f"was ended by {Signals(-code).name}{cause}"
    return "has failed, as it says above"


def together(trainer: pl.Trainer) -> None:
    """Let the processes of a training start and end as said here.

    A SIGTERM is answered as in a training of one process. Lightning would have all processes meet
    inside the handler of the signal, where one that waits for the first never comes.
    """
    launcher = trainer.strategy.launcher
    if type(launcher) is _SubprocessScriptLauncher:
        own = Launcher(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)
        trainer.strategy._launcher = own
        setattr(trainer._signal_connector, "_sigterm_notifier_fn", _say_nothing)  # noqa: B010


def _say_nothing(number: int, frame: FrameType) -> None: ...


def check_processes(trainer: pl.Trainer, arguments: Sequence[str], *, sweeps: bool) -> None:
    """Refuse what several processes cannot do, before any work.

    Args:
        trainer: as it is configured.
        arguments: of the script.
        sweeps: they ask for several runs.

    Raises:
        InputError: a sweep of runs of several processes; statistics over processes without GPUs.
    """
    if sweeps and _has_others(trainer):
        raise InputError(
            f"trainer.devices={trainer.num_devices} and -m do not go together: each of a run's "
            "further processes would begin the whole sweep once more; run one after the other, "
            f"{_as_loop(arguments)}"
        )
    if trainer.strategy.root_device.type == "cpu" and isinstance(
        getattr(trainer.strategy, "_layer_sync", None), TorchSyncBatchNorm
    ):
        raise InputError(
            "trainer.sync_batchnorm=true needs GPUs, whose processes share the statistics of a "
            "batch; leave it out"
        )


def _has_others(trainer: pl.Trainer) -> bool:
    """Whether further processes run the script's command line once more.

    Whoever starts them: a ``LOCAL_RANK`` that is left in a shell says that somebody else does, and
    the training would wait for them without end.
    """
    launcher = trainer.strategy.launcher
    return isinstance(launcher, _SubprocessScriptLauncher) and launcher.num_processes > 1


def _as_loop(arguments: Sequence[str]) -> str:
    """The sweep as it is typed in a shell: over the option of which several values are given."""
    typed = [argument.lstrip("+") for argument in arguments if not argument.startswith("-")]
    found = [override for override in map(parse, typed) if override.is_sweep_override()]
    script = called("train")
    words = f"for seed in 1 2 3; do {script} seed=$seed trainer.devices=2; done"
    if len(found) != 1 or found[0].value_type != ValueType.SIMPLE_CHOICE_SWEEP:
        return words
    key, _, values = str(found[0].input_line).lstrip("+").partition("=")
    if not set(values) <= PLAIN | {","}:
        return words
    others = [shlex.quote(one) for one in typed if not one.startswith(f"{key}=")]
    command = " ".join([script, f"{key}=$value", *others])
    return f"for value in {values.replace(',', ' ')}; do {command}; done"
