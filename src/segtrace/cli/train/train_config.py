"""A checked configuration: what ``train.py`` was asked to do."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from segtrace.attribution import rules
from segtrace.cli.command_line import parse
from segtrace.cli.limits import check_limits, check_probes, leaves, protocols_of
from segtrace.cli.resumed import run_of
from segtrace.cli.schema import check, plainly
from segtrace.cli.train.letter import Letter
from segtrace.cli.train.network_options import of_its_class
from segtrace.cli.train.rehearsal import rehearse
from segtrace.cli.train.resume.broken_off import Left, begin_anew, left_in, remove_drafts
from segtrace.cli.train.resume.full_state import Expected
from segtrace.cli.train.resume.run_config import gone_on, targets_in
from segtrace.cli.train.together import check_processes
from segtrace.errors import InputError
from segtrace.names import CONFIG
from segtrace.network.known.monai import MONAI
from segtrace.progress import is_first, say
from segtrace.report.files import save_text
from segtrace.report.run_folder import Held, Lock, taken
from segtrace.training.callbacks.own_folder import check_no_checkpoints, check_places
from segtrace.training.precision import refuse_half_in

KEYS = (
    "seed", "resume", "test", "probes",
    "data", "model", "explain", "trainer", "callbacks", "logger",
)  # fmt: skip
ADDED = frozenset(("early_stopping", "ema", "best"))
"""Callbacks that are of use beside the default ones alone."""
PLACES = ("data.root", "data.cache_dir", "data.lists")
"""Folders on somebody's disk, which a result does not depend on."""


@dataclass(frozen=True)
class TrainConfig:
    """A checked configuration.

    Attributes:
        config: plain dicts, resolved.
        folder: of the run.
        lock: on the folder, as long as the run writes there.
        left: the checkpoint to go on from; ``None`` where the run begins.
        letter: what the experiment asks for that stands for a published protocol, if it is that.
    """

    config: Mapping[str, Any]
    folder: Path
    lock: Held | None = None
    left: Left | None = None
    letter: Letter | None = None

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.config["seed"])

    @property
    def resume(self) -> str | None:
        """Checkpoint to go on from."""
        return None if self.left is None else str(self.left.path)

    @property
    def hyperparameters(self) -> dict[str, float | str | bool]:
        """What a run can be told from another by, one level deep: ``data.size`` -> 224."""
        parts = {
            name: self.config[name] for name in ("seed", "data", "model", "explain", "trainer")
        }
        return {
            key: value if isinstance(value, int | float | str) else str(value)
            for key, value in leaves(parts, in_lists=False)
            if value is not None and key not in PLACES
        }

    def keep(self) -> None:
        """Write the configuration into the run's folder."""
        if is_first():
            save_text(self.folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(self.config))))

    @property
    def cut_every(self) -> int | None:
        """Epochs between two cuts of the network; ``None`` for never."""
        for node in self.config["callbacks"].values():
            if node is not None and node["_target_"].endswith(".FlowCallback"):
                return node.get("cut_every")
        return None

    @property
    def protocols(self) -> tuple[str, ...]:
        """By which the test cases are scored; none where they are not."""
        return protocols_of(self.config["test"])


def checked(config: DictConfig) -> TrainConfig:
    """Check the configuration before any work, and keep it in the run's folder.

    Raises:
        InputError: see :func:`segtrace.cli.schema.check`; a folder that holds another run, or
            is being written; a run that cannot go on so.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    if config.get("resume") is not None:
        return _going_on(config, folder)
    plain = plainly(config)
    runtime, typed = HydraConfig.get().runtime, HydraConfig.get().overrides.task
    _check_defaults(typed)
    check_all(plain)
    net = of_its_class(plain["model"]["net"], typed, _folders(runtime))
    plain["model"] = {**plain["model"], "net": net}
    lock = taken(folder, "train", f"to go on, or to begin it anew, say resume={folder}")
    _rehearse(plain, folder)
    kept = _folder_of(plain, "EpochCheckpoints")
    if is_first():
        check_places(plain, folder)
        if kept is not None:
            check_no_checkpoints(kept)
    asked = HydraConfig.get()
    letter = Letter.of(asked.runtime.choices, asked.overrides.task)
    plan = TrainConfig(plain, folder, lock, letter=letter)
    plan.keep()
    return plan


def _going_on(config: DictConfig, folder: Path) -> TrainConfig:
    """The run's own configuration, and the checkpoint to go on from, if there is a whole one."""
    resume = str(config["resume"])
    own = run_of(resume)
    if own is None:
        raise InputError(f"resume={resume}: no run of train.py; name a run's folder")
    if own.resolve() != folder.resolve():
        raise InputError(
            f"resume={resume} goes on in its own folder, {own}; leave hydra.run.dir and -m out"
        )
    lock = Lock(folder) if is_first() else None
    runtime = HydraConfig.get().runtime
    plain = gone_on(
        folder,
        plainly(config, whole=False),
        typed=HydraConfig.get().overrides.task,
        groups=runtime.choices,
        known=_known(_folders(runtime)),
    )
    check_all(plain)
    _rehearse(plain, folder)
    if is_first():
        check_places(plain, folder)
    left = _left(plain, folder, resume)
    return TrainConfig(plain | {"resume": None}, folder, lock, left)


def _rehearse(plain: Mapping[str, Any], folder: Path) -> None:
    sweeps = HydraConfig.get().mode == RunMode.MULTIRUN
    check_processes(rehearse(plain, folder), sys.argv[1:], sweeps=sweeps)


def _folders(runtime: Any) -> list[Path]:
    """Of YAML files, ours and the user's."""
    return [Path(s.path) for s in runtime.config_sources if s.schema == "file"]


def _known(conf: Sequence[Path]) -> set[str]:
    """Classes of our own YAML files, MONAI's networks of our table, and our rule with options."""
    networks = {f"monai.networks.nets.{known.name}" for known in MONAI}
    return targets_in(conf) | networks | {f"{rules.__name__}.{rules.seg_xres_cam.__name__}"}


def _left(plain: Mapping[str, Any], folder: Path, resume: str) -> Left | None:
    """The checkpoint to go on from; without one the folder is made ready to begin anew."""
    named = Path(resume).expanduser().absolute()
    kept = _folder_of(plain, "EpochCheckpoints")
    if kept is None:
        raise InputError(f"{folder} keeps no checkpoints (callbacks.checkpoints) to go on from")
    left = left_in(kept, named, Expected.of(plain))
    if is_first():
        remove_drafts(folder)
        if left is None:
            begin_anew(folder, _folder_of(plain, "FlowCallback"), kept)
    if left is not None:
        _check_length(plain["trainer"], left, folder)
    return left


def _folder_of(plain: Mapping[str, Any], kind: str) -> Path | None:
    """Where the callback of this kind writes; ``None`` where there is none."""
    nodes = [node for node in plain["callbacks"].values() if node is not None]
    found = (node for node in nodes if str(node["_target_"]).endswith(f".{kind}"))
    return next((Path(node["folder"]) for node in found if node.get("folder")), None)


def _check_length(trainer: Mapping[str, Any], left: Left, folder: Path) -> None:
    epochs = trainer.get("max_epochs")
    if epochs in (None, -1) or epochs > left.epoch:
        return
    if epochs < left.epoch:
        raise InputError(
            f"trainer.max_epochs={epochs}, but {folder} has finished {left.epoch} epochs; give "
            f"{left.epoch} or more"
        )
    if is_first():
        say(
            f"{folder} has finished its {epochs} epochs; to train on say "
            f"resume={folder} trainer.max_epochs={2 * epochs}"
        )


def _check_defaults(typed: Sequence[str]) -> None:
    """Refuse callbacks of ours in the place of those that explain and keep checkpoints."""
    for override in map(parse, typed):
        value = override.value() if override.key_or_group == "callbacks" else []
        named = [str(name) for name in (value if isinstance(value, list) else [value])]
        if ADDED.intersection(named) and "default" not in named:
            raise InputError(
                f"callbacks={','.join(named)} leaves out what explains and keeps every epoch; say "
                f"'callbacks=[{','.join(['default', *named])}]'"
            )


def check_all(plain: Mapping[str, Any]) -> None:
    """Hold plain values against what they may be, before anything is made of them.

    Raises:
        InputError: see :func:`segtrace.cli.schema.check`.
    """
    check(plain, KEYS)
    check_limits(plain)
    check_probes(plain["probes"])
    refuse_half_in(plain)
