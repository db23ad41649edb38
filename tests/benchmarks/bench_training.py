"""What a training costs beside its bare steps; each ratio of rounds in turn, in one run.

    .venv/bin/python tests/benchmarks/bench_training.py [--parts step loader first]
        [--rounds 20] [--place FOLDER]

* step: one through Lightning, with our module and all callbacks, beside forward, loss, backward
  and optimiser alone, on the same batches; FlexibleUNet-ResNet-18, batches of 8.
* loader: slices a second of two processes, recipe by recipe, beside those of a bare step.
* first: seconds from the start of train.py to its first optimiser step, the slices prepared.

Seconds of the CPU stand beside those by the clock: another process at work makes these longer.
"""

import argparse
import copy
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from promises import kept

from segtrace.cli.schema import plainly
from segtrace.cli.train import run
from segtrace.cli.train.train_config import TrainConfig
from segtrace.data.augment import RECIPES
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.modules import PhantomData
from segtrace.training.module import SegmentationModule

ROOT = Path(__file__).parents[2]
PARTS = ("step", "loader", "first")
Pair = tuple[float, float]
"""Seconds by the clock, and of the CPU."""


class Watch(list[Pair]):
    """Seconds of each round."""

    @contextmanager
    def round(self) -> Iterator[None]:
        before = time.perf_counter(), time.process_time()
        yield
        after = time.perf_counter(), time.process_time()
        self.append((after[0] - before[0], after[1] - before[1]))

    @property
    def medians(self) -> Pair:
        clock, cpu = (median(column) for column in zip(*self, strict=True))
        return clock, cpu


def bare(module: SegmentationModule) -> Callable[[dict[str, Any]], None]:
    """A step with nothing around it, of the same network, loss and optimiser."""
    net = copy.deepcopy(module.net).train()
    optimizer = module.optimizer(net.parameters())

    def step(batch: dict[str, Any]) -> None:
        optimizer.zero_grad()
        module.loss(net(batch["image"]).float(), batch["label"]).backward()
        optimizer.step()

    return step


class Enough(Exception):
    """Ends a training."""


class InTurn(pl.Callback):
    """After each step of a training: the same batch without Lightning, and another batch loaded."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.took = {"through Lightning": Watch(), "bare": Watch(), "loading a batch": Watch()}
        self.before: Pair | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.step = bare(pl_module)
        self.loader = iter(trainer.datamodule.train_dataloader())

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.before is not None:
            now = time.perf_counter(), time.process_time()
            spent = now[0] - self.before[0], now[1] - self.before[1]
            self.took["through Lightning"].append(spent)
            with self.took["bare"].round():
                self.step(batch)
            with self.took["loading a batch"].round():
                next(self.loader)
        else:
            self.step(batch)
        if batch_idx == self.rounds:
            raise Enough
        self.before = time.perf_counter(), time.process_time()


def as_train(folder: Path, *options: str) -> tuple[Any, ...]:
    """All that train.py makes of these options, with stand-ins for nothing."""
    folder.mkdir(parents=True)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        typed = [*options, f"hydra.runtime.output_dir={folder}"]
        config = compose("train", typed, return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        plan = TrainConfig(plainly(own), folder)
    data = run.data(plan)
    pl.seed_everything(plan.seed, workers=True, verbose=False)
    net = run.network(plan, data)
    probes = run.prepare(plan, data)
    module = run.module(plan, data, probes, net)
    return data, module, run.trainer(plan, module, probes)


def step(place: Path, data_options: list[str], rounds: int) -> None:
    for size, count in ((96, rounds), (224, max(rounds // 3, 2))):
        data, module, trainer = as_train(
            place / "runs" / f"step_{size}", *data_options, f"data.size={size}",
            f"data.steps_per_epoch={count + 2}", "trainer.accelerator=cpu",
            "callbacks.flow.cut_every=null",
        )  # fmt: skip
        turns = InTurn(count)
        trainer.callbacks.append(turns)
        with suppress(Enough):
            trainer.fit(module, data)
        (clock, cpu), plain, load = (turns.took[name].medians for name in turns.took)
        print(
            f"step, {size} pixels: {1000 * clock:.0f} ms through Lightning, {1000 * plain[0]:.0f} "
            f"bare, {1000 * load[0]:.1f} loading; ratio {clock / plain[0]:.3f} (of CPU time "
            f"{cpu / plain[1]:.3f}), loading apart "
            f"{(clock - load[0]) / plain[0]:.3f}; {kept(clock / plain[0], 1.1)}; {count} rounds",
            flush=True,
        )


def module_for(data: CaseDataModule) -> SegmentationModule:
    from segtrace.models.flexible_unet import FlexibleUNet

    return SegmentationModule(FlexibleUNet(1, 9, "resnet18", spatial_dims=2), data.organs)


def loader(place: Path, root: Path, rounds: int) -> None:
    given = {"root": str(root), "cache_dir": str(place / "cache"), "size": 224}
    loaders, alone = {}, {}
    for recipe in RECIPES:
        data = PhantomData(**given, num_workers=2, augment=recipe)
        data.trainer = pl.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        loaders[recipe] = data.train_dataloader()
        alone[recipe] = PhantomData(**given, num_workers=0, augment=recipe).train_dataloader()
    train = bare(module_for(data))
    took = {name: Watch() for name in ("step", *RECIPES, *(f"{name} alone" for name in RECIPES))}
    batches, alone_batches = 20, 4
    for _ in range(rounds):
        for recipe, several in loaders.items():
            source = iter(several)
            batch = next(source)  # the processes are at work
            with took[recipe].round():
                for _ in islice(source, batches):
                    pass
            with took[f"{recipe} alone"].round():
                for _ in islice(alone[recipe], alone_batches):
                    pass
        with took["step"].round():
            train(batch)
    size = len(batch["case"])
    clock, cpu = (took["step"].medians[i] / size for i in (0, 1))
    for recipe in RECIPES:
        loaded = took[recipe].medians[0] / (size * batches)
        alone_cpu = took[f"{recipe} alone"].medians[1] / (size * alone_batches)
        print(
            f"loader, 224 pixels, {recipe}: {1 / loaded:.0f} slices/s of two processes, "
            f"{1 / clock:.1f} of a bare step; ratio {clock / loaded:.1f}; "
            f"{kept(clock / loaded, least=1)}; "
            f"{1000 * alone_cpu:.2f} ms of CPU a slice, {1000 * cpu:.0f} of a step",
            flush=True,
        )


def first(place: Path, data_options: list[str], rounds: int) -> None:
    found: dict[str, list[Pair]] = {}
    for turn in range(rounds):
        folder = place / "runs" / f"first_{turn}"
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("first_step.py")), str(time.time()),
             *data_options, "trainer.accelerator=cpu", f"hydra.run.dir={folder}"],
            capture_output=True, text=True, check=False, cwd=place,
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr)
        for name, spent in json.loads(done.stdout.splitlines()[-1]).items():
            found.setdefault(name, []).append(tuple(spent))
    medians = {name: Watch(spent).medians for name, spent in found.items()}
    for name, (clock, cpu) in medians.items():
        print(f"first step: {name:28} {clock:6.2f} s, {cpu:6.2f} of the CPU")
    apart = [name for name in medians if name.endswith("untrained")]
    whole = [sum(spent[i] for spent in medians.values()) for i in (0, 1)]
    rest = [whole[i] - sum(medians[name][i] for name in apart) for i in (0, 1)]
    print(
        f"first step: after {whole[0]:.1f} s ({whole[1]:.1f} of the CPU); what is needed of the "
        f"untrained network before it apart: {rest[0]:.1f} s ({rest[1]:.1f}); {kept(rest[0], 10)}; "
        f"{rounds} rounds",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--place", type=Path, help="keeps phantoms and caches for another time")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        place = (options.place or Path(name)).resolve()
        shutil.rmtree(place / "runs", ignore_errors=True)
        root = place / "phantom"
        data = [f"data.root={root}", f"data.cache_dir={place / 'cache'}"]
        few = max(options.rounds // 10, 1)
        if "step" in options.parts:
            step(place, data, options.rounds)
        if "loader" in options.parts:
            loader(place, root, few)
        if "first" in options.parts:
            PhantomData(str(root), size=96, cache_dir=str(place / "cache")).setup("fit")
            first(place, data, few)
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load "
          f"{os.getloadavg()[0]:.1f} at the end")  # fmt: skip


if __name__ == "__main__":
    main()
