"""The networks that ``explain.py`` was asked to explain: checkpoints, or one of the user's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segtrace.attribution.rules import Rule
from segtrace.checkpoint import loading as checkpoint
from segtrace.names import file_name
from segtrace.network.lost import lost_told
from segtrace.progress import say
from segtrace.studies.inputs.checkpoints import in_order, of_several_runs
from segtrace.studies.inputs.images import Images, LooksAt, listed
from segtrace.studies.inputs.named_paths import paths_of
from segtrace.studies.inputs.trained_network import (
    TrainedNetwork,
    apply_settings,
    from_checkpoint,
    untrained_of,
)
from segtrace.studies.inputs.users_network import from_user, windowed
from segtrace.tracking.void import void_told
from segtrace.training.construction import build_trainer

if TYPE_CHECKING:
    import pytorch_lightning as pl


@dataclass(frozen=True)
class Networks:
    """The networks, one at a time, each with the folder of its results below that of all.

    Attributes:
        options: of ``explain.py``, plain values, resolved and checked.
        looks_at: which images the study asks for.
        folder: of all results.
        rules: those asked for; ``None`` for those of the training.
        of_one_run: whether several checkpoints must be epochs of one training.
    """

    options: Mapping[str, Any]
    looks_at: LooksAt
    folder: Path
    rules: Sequence[str | Rule] | None = None
    of_one_run: bool = True

    @cached_property
    def images(self) -> Images:
        """The images to explain."""
        return Images(
            self.options,
            self.looks_at,
            tuple(self._checkpoints.values()),
            first=lambda: self._first,
            last=lambda: self._load(next(reversed(self._checkpoints), "")),
        )

    def __iter__(self) -> Iterator[tuple[TrainedNetwork, Path]]:
        said: set[str] = set()
        for name in self._checkpoints or ("",):
            trained = self._load(name)
            for note in dict.fromkeys(note for note in trained.notes if note not in said):
                say(f"{trained.name}: {note}")
            said.update(trained.notes)
            yield self._as_asked(trained), self._within(name)

    @property
    def last(self) -> tuple[TrainedNetwork, Path]:
        """The last of them."""
        name = next(reversed(self._checkpoints), "")
        return self._as_asked(self._load(name)), self._within(name)

    @property
    def are_a_training(self) -> bool:
        """Whether the epochs of a training are explained, and not one network alone."""
        return bool(self._checkpoints) and (
            len(self._checkpoints) > 1 or self.options["log_dir"] is not None
        )

    @property
    def described(self) -> list[Mapping[str, Any]]:
        """What the checkpoints say of themselves."""
        return [checkpoint.describe(path) for path in self._checkpoints.values()]

    @property
    def untrained(self) -> Path | None:
        """The checkpoint to hold against: the one named, or else epoch 0 of the same folder."""
        if self.options["untrained"] is not None:
            return Path(self.options["untrained"])
        if not self._checkpoints:
            return None
        return next(iter(self._checkpoints.values())).with_name("epoch_000.ckpt")

    def untrained_beside(self, trained: TrainedNetwork) -> TrainedNetwork | None:
        """The untrained network, to stand beside one that is explained alone.

        Not where the network itself decides what is explained: the regions would differ.
        """
        if self.are_a_training or trained.epoch is None or trained.settings.region != "gt":
            return None
        before = self.untrained_of(trained)
        return before and self.images.fit(before)

    def untrained_of(self, trained: TrainedNetwork) -> TrainedNetwork | None:
        """The same network before its training; read once for whoever asks. None at epoch 0."""
        if trained.epoch == 0:
            return None
        if trained.name not in self._before:
            asked = self.options["untrained"] is not None
            self._before[trained.name] = untrained_of(trained, self.untrained, asked=asked)
        return self._before[trained.name]

    def trainer(self, **options: Any) -> "pl.Trainer":
        """Lightning's trainer, for what goes through many slices."""
        # Imported here: it takes seconds, and few studies go through so many slices.
        from segtrace.training.callbacks.progress import EpochBar

        node = self.options["trainer"]
        shown = [EpochBar()] if node.get("enable_progress_bar", True) else []
        own = {**options, "callbacks": [*options.get("callbacks", ()), *shown]}
        return build_trainer(node, **own)

    @property
    def device(self) -> torch.device:
        """What the trainer's options choose, for what predicts without it."""
        return build_trainer(self.options["trainer"]).strategy.root_device

    @property
    def processes(self) -> int:
        """That work side by side, where the study can."""
        return int(self.options["processes"])

    def __len__(self) -> int:
        return len(self._checkpoints) or 1

    @property
    def seed(self) -> int:
        """Of all draws."""
        return int(self.options["seed"])

    @cached_property
    def _checkpoints(self) -> dict[str, Path]:
        """Name of a folder -> checkpoint; those of one run in the order of its epochs."""
        if self.options["checkpoint"] is None:
            return {}
        paths = paths_of(self.options["checkpoint"])
        if not self.of_one_run:
            return of_several_runs(paths)
        if len(paths) > 1:
            return {f"epoch_{epoch:03d}": path for epoch, path in in_order(paths).items()}
        return {file_name(paths[0].stem): paths[0]}

    @cached_property
    def _before(self) -> dict[str, TrainedNetwork | None]:
        return {}

    def _within(self, name: str) -> Path:
        return Path(name) if self.are_a_training else Path()

    @cached_property
    def _first(self) -> TrainedNetwork:
        return self._read(next(iter(self._checkpoints), ""))

    def _load(self, name: str) -> TrainedNetwork:
        """A network by the name of its folder; the first is read once."""
        return self._first if name == next(iter(self._checkpoints), "") else self._read(name)

    def _read(self, name: str) -> TrainedNetwork:
        net = self.options["net"]
        if self._checkpoints:  # where net is the class that the user names for them
            found = from_checkpoint(self._checkpoints[name], net, self.rules)
        else:
            data = None if windowed(self.options["preprocessing"]) else self.images.module
            found = apply_settings(from_user(self.options, data), rules=self.rules)
        return _with_void_told(_with_lost_told(found))

    def _as_asked(self, trained: TrainedNetwork) -> TrainedNetwork:
        """With the settings that were given, and what must be said of the slices."""
        given = {name: self.options[name] for name in ("region", "score", "measures", "aggregate")}
        given |= {"rules": self.rules, "organs": listed(self.options["organs"])}
        if self._checkpoints:
            given["stages"] = self.options["stages"]
        if self.images.unlabelled and given["region"] is None:
            given["region"] = "pred"  # a new image has no ground truth
        return self.images.fit(apply_settings(trained, **given))


def _with_lost_told(trained: TrainedNetwork) -> TrainedNetwork:
    """The network, with a note of weights that are NaN."""
    lost = lost_told(trained.net)
    return trained if lost is None else replace(trained, notes=(*trained.notes, lost))


def _with_void_told(trained: TrainedNetwork) -> TrainedNetwork:
    """The network, with a note of rules that it makes void, and another one leading."""
    settings, void = void_told(trained.net, trained.stages, trained.blank, trained.settings)
    notes = trained.notes if void is None else (*trained.notes, void)
    return replace(trained, settings=settings, notes=notes)
