"""A checked configuration: what ``explain.py`` was asked to do."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from segtrace.attribution.rules import Rule
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.asked_slices import AskedSlices
from segtrace.cli.explain.checks import check_asked_of_data, check_files, check_together
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.explain.options import KINDS, check_options, listed
from segtrace.cli.schema import check
from segtrace.cli.train.plan import plainly
from segtrace.names import CONFIG, file_name
from segtrace.report.files import save_text
from segtrace.report.run_folder import Held, taken
from segtrace.studies.cut_subject import CutOptions
from segtrace.studies.from_checkpoints import FromCheckpoints, in_order
from segtrace.studies.seeds import folders_of
from segtrace.studies.subject import (
    Subject,
    from_checkpoint,
    from_user,
    paths_of,
    untrained_of,
    with_settings,
)
from segtrace.training.construction import construct
from segtrace.training.slices.taking import check_own_network


@dataclass(frozen=True)
class Request:
    """What to explain.

    Attributes:
        config: plain dicts, resolved.
        folder: where the results go.
        lock: on the folder, as long as the results are written.
    """

    config: Mapping[str, Any]
    folder: Path
    lock: Held | None = None

    @property
    def figure(self) -> bool:
        """Whether to draw the paper's figure."""
        return (self.config.get("study") or {}).get("figure") == "paper_figure"

    @property
    def shared_scale(self) -> bool:
        """Whether the maps of a printed figure have one scale, which shows weak ones as weak."""
        return bool(self.config["shared_scale"])

    @property
    def runs(self) -> list[Path]:
        """Runs that differ in their seed, to be compared; nothing else is asked then."""
        return folders_of(self.config["runs"]) if self.config["runs"] is not None else []

    @cached_property
    def slices(self) -> AskedSlices:
        """The images to explain."""
        paths = () if self._own else tuple(self._checkpoints.values())
        return AskedSlices(self.config, paths, self._from_checkpoint)

    @cached_property
    def _rules(self) -> list[str | Rule] | None:
        """Those asked for: names, and what a ``_target_`` of the command line makes."""
        asked = listed(self.config["rules"])
        return asked and rules_of(asked)

    @property
    def _own(self) -> bool:
        """Whether a network of the user's own is explained, and not a checkpoint."""
        return self.config["checkpoint"] is None

    def _from_checkpoint(self, path: Path) -> Subject:
        """Its network; ``net`` beside it is the class that the user names for it."""
        return from_checkpoint(path, self.config["net"], self._rules)

    @cached_property
    def _checkpoints(self) -> dict[str, Path]:
        """Name of a folder -> checkpoint; several are of one run, in the order of its epochs."""
        paths = paths_of(self.config["checkpoint"])
        if len(paths) > 1:
            return {f"epoch_{epoch:03d}": path for epoch, path in in_order(paths).items()}
        return {file_name(paths[0].stem): paths[0]}

    @property
    def _tracks(self) -> bool:
        """Whether the epochs of a training are explained, and not one network alone."""
        return not self._own and (len(self._checkpoints) > 1 or self.config["log_dir"] is not None)

    def run(self) -> FromCheckpoints | None:
        """The training that the checkpoints are of; ``None`` for a network alone."""
        if not self._tracks:
            return None
        described = [checkpoint.describe(path) for path in self._checkpoints.values()]
        dice = {one["epoch"]: one.get("dice", {}).get("mean", math.nan) for one in described}
        every = self.cuts.every(described[0])
        log, shared = self.config["log_dir"], self.shared_scale
        return FromCheckpoints(self.folder, log, dice, every, shared_scale=shared)

    @property
    def untrained(self) -> Path | None:
        """The checkpoint to hold against: the one named, or else epoch 0 of the same folder."""
        if self.config["untrained"] is not None:
            return Path(self.config["untrained"])
        if self._own:
            return None
        return next(iter(self._checkpoints.values())).with_name("epoch_000.ckpt")

    def beside(self, subject: Subject) -> Subject | None:
        """The untrained network, to stand beside one that is explained alone.

        Not where the network itself decides what is explained: the regions would differ.
        """
        if self._tracks or subject.epoch in (None, 0) or subject.settings.region != "gt":
            return None
        before = untrained_of(subject, self.untrained)
        return before and self.slices.mind(before)

    @cached_property
    def cuts(self) -> CutOptions:
        """How networks are cut."""
        return CutOptions(self.config["cut"], self.slices.data, self.untrained)

    def subjects(self) -> Iterator[tuple[Subject, Path]]:
        """The networks, one at a time, and a folder for each."""
        if self._own:
            yield self._as_asked(self._own_network()), self.folder
            return
        said: set[str] = set()
        for name, path in self._checkpoints.items():
            folder = self.folder / name if self._tracks else self.folder
            subject = self._from_checkpoint(path)
            for note in dict.fromkeys(note for note in subject.notes if note not in said):
                print(f"{subject.name}: {note}")
            said.update(subject.notes)
            yield self._as_asked(subject), folder

    def trainer(self, **options: Any) -> pl.Trainer:
        """Lightning's trainer for whole volumes."""
        node = self.config["trainer"]
        built: pl.Trainer = construct("trainer", node, **options)
        return built

    @property
    def seed(self) -> int:
        """Of all draws."""
        return int(self.config["seed"])

    @property
    def tries(self) -> bool:
        """Whether the maps are put to the test by cutting."""
        return bool(self.config["verdict"])

    @property
    def failures(self) -> bool:
        """Whether the last network is explained where it was wrong, too."""
        return bool(self.config["failures"])

    def _own_network(self) -> Subject:
        net, weights, stages, edges = (
            self.config[name] for name in ("net", "weights", "stages", "edges")
        )
        subject = from_user(net, weights, stages, self.slices.module, edges)
        check_own_network(net, subject.net, subject.preprocessing.size)
        return subject

    def _as_asked(self, subject: Subject) -> Subject:
        """With the settings that were given, and what must be said of the slices."""
        given = {name: self.config[name] for name in ("region", "score", "measures", "aggregate")}
        given |= {"rules": self._rules, "organs": listed(self.config["organs"])}
        if not self._own:
            given["stages"] = self.config["stages"]
        unseen = self.config["image"] is not None or self.slices.whole
        if unseen and given["region"] is None:
            given["region"] = "pred"  # a new image has no ground truth
        return self.slices.mind(with_settings(subject, **given))


def checked(config: DictConfig) -> Request:
    """Check the configuration before any work.

    Raises:
        InputError: options that are unknown, missing, or exclude one another; a folder that cannot
            be written, or holds results already.
    """
    plain = plainly(config)
    check(plain, tuple(KINDS), optional=("data", "study"))
    check_options(plain)
    check_together(plain)
    check_files(plain)
    typed = HydraConfig.get().overrides.task
    check_asked_of_data([one.partition("=")[0].lstrip("+") for one in typed], plain)
    folder = Path(HydraConfig.get().runtime.output_dir)
    lock = taken(folder, "explain")
    save_text(folder / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    return Request(plain, folder, lock)
