"""Run train.py up to its first optimiser step, and print as JSON what it spent the seconds on.

    .venv/bin/python tests/benchmarks/first_step.py BEGAN [option …]

BEGAN is ``time.time()`` of whoever starts it. Seconds by the clock and of the CPU, by step.
"""

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STEPS = {
    "data": "data", "probes": "watched slices", "module": "network", "trainer": "trainer",
    "take_up": "trainer", "announce": "trainer", "note_hyperparameters": "trainer",
}  # fmt: skip
"""Function of ``run.py`` or ``announcement.py`` -> what it is about."""


class Spent:
    """Adds up what lies between two marks."""

    def __init__(self, began: float) -> None:
        self.last = (began, 0.0)
        self.steps: dict[str, list[float]] = {}

    def mark(self, step: str) -> None:
        now = (time.time(), time.process_time())
        clock, cpu = self.steps.setdefault(step, [0.0, 0.0])
        self.steps[step] = [clock + now[0] - self.last[0], cpu + now[1] - self.last[1]]
        self.last = now

    def around(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.mark("options, and all between")
            try:
                return function(*args, **kwargs)
            finally:
                self.mark(step)

        return timed


def main() -> None:
    spent = Spent(float(sys.argv.pop(1)))
    spent.mark("Python")
    import segtrace.cli.start_up  # noqa: F401 (as train.py does)

    # isort: split
    import pytorch_lightning as pl

    from segtrace.cli.train import announcement, run, summary, train_config  # noqa: F401
    from segtrace.training.callbacks.baselines import KeepBaselines
    from segtrace.training.callbacks.flow import FlowCallback

    spent.mark("imports")
    for name, step in STEPS.items():
        home = announcement if name == "announce" else run
        setattr(home, name, spent.around(getattr(home, name), step))
    pl.Trainer.validate = spent.around(pl.Trainer.validate, "validation, untrained")
    KeepBaselines.on_train_start = spent.around(KeepBaselines.on_train_start, "means, untrained")
    FlowCallback.on_train_start = spent.around(FlowCallback.on_train_start, "flow, untrained")

    class First(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            spent.mark("first step, and all between")
            print(json.dumps(spent.steps), flush=True)
            os._exit(0)

    made = run.trainer

    def with_first(*args: Any) -> pl.Trainer:
        trainer = made(*args)
        trainer.callbacks.append(First())
        return trainer

    run.trainer = with_first
    sys.argv[0] = str(ROOT / "train.py")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
