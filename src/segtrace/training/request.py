"""A checked configuration: what ``explain.py`` was asked to do."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from segtrace.data.cases import case_name
from segtrace.data.datamodule import SliceDataModule
from segtrace.data.nifti import Volume, read_image
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.report.files import save_text
from segtrace.training import checkpoint
from segtrace.training.construction import construct
from segtrace.training.cut_replay import CutReplay, check_cut
from segtrace.training.image import probes_of_image
from segtrace.training.plan import check_probes, plainly
from segtrace.training.replay import Replay, in_order
from segtrace.training.run_folder import CONFIG, Held, taken
from segtrace.training.schema import check
from segtrace.training.seeds import folders_of
from segtrace.training.subject import (
    Subject,
    from_checkpoint,
    from_user,
    paths_of,
    untrained_of,
    with_settings,
)

KEYS = (
    "checkpoint", "image", "net", "weights", "stages", "rules", "region", "score", "organs",
    "measures", "aggregate", "probes", "seed", "data", "study", "log_dir", "volume", "cases",
    "trainer", "runs", "cut", "untrained", "edges", "verdict", "failures",
    "shared_scale",
)  # fmt: skip


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

    @property
    def whole(self) -> bool:
        """Whether whole volumes are explained, and not the most telling slices."""
        return bool(self.config["volume"]) or self.config["cases"] is not None

    @cached_property
    def data(self) -> SliceDataModule | None:
        """The data set that was named, if any."""
        if not self.config.get("data"):
            return None
        module: SliceDataModule = instantiate(self.config["data"], _convert_="all")
        return module

    @cached_property
    def _checkpoints(self) -> dict[str, Path]:
        """Name of a folder -> checkpoint; several are of one run, in the order of its epochs."""
        paths = paths_of(self.config["checkpoint"])
        if len(paths) > 1:
            return {f"epoch_{epoch:03d}": path for epoch, path in in_order(paths).items()}
        return {paths[0].stem: paths[0]}

    @property
    def _tells(self) -> bool:
        """Whether the course of a training is told, and not one network alone."""
        own = self.config["net"] is not None
        return not own and (len(self._checkpoints) > 1 or self.config["log_dir"] is not None)

    def replay(self) -> Replay:
        """What tells the course of the training; silent for a network alone."""
        if not self._tells:
            return Replay(self.folder, None, {}, self.shared_scale)
        described = [checkpoint.describe(path) for path in self._checkpoints.values()]
        dice = {told["epoch"]: told.get("dice", {}).get("mean", math.nan) for told in described}
        return Replay(self.folder, self.config["log_dir"], dice, self.shared_scale)

    @property
    def untrained(self) -> Path | None:
        """The checkpoint to hold against: the one named, or else epoch 0 of the same folder."""
        if self.config["untrained"] is not None:
            return Path(self.config["untrained"])
        if self.config["net"] is not None:
            return None
        return next(iter(self._checkpoints.values())).with_name("epoch_000.ckpt")

    def beside(self, subject: Subject) -> Subject | None:
        """The untrained network, to stand beside one that is explained alone.

        Not where the network itself decides what is explained: the regions would differ.
        """
        if self._tells or subject.epoch in (None, 0) or subject.settings.region != "gt":
            return None
        return untrained_of(subject, self.untrained)

    def cutting(self) -> CutReplay:
        """What cuts: every so many epochs of a training, or one network where that is asked."""
        cutting = CutReplay(self.config["cut"], self.data, self.untrained)
        if self._tells:
            cutting.along([checkpoint.describe(path) for path in self._checkpoints.values()])
        return cutting

    def subjects(self) -> Iterator[tuple[Subject, Path]]:
        """The networks, one at a time, and a folder for each."""
        if self.config["net"] is not None:
            yield self._with_settings(self._own_network()), self.folder
            return
        for name, path in self._checkpoints.items():
            folder = self.folder / name if self._tells else self.folder
            yield self._with_settings(from_checkpoint(path)), folder

    def slices(self, subject: Subject) -> Probes:
        """The slices to explain it on; the same for all checkpoints of a run."""
        if self.config["image"] is not None:
            return self._slices_of_image
        n = self.config["probes"]["n"]
        return subject.slices(self.data, n, self.config["probes"]["from"])

    @cached_property
    def _slices_of_image(self) -> Probes:
        """Chosen by what the network, of several the last, finds in the image."""
        if self.config["net"] is not None:
            subject = self._own_network()
        else:
            subject = from_checkpoint(list(self._checkpoints.values())[-1])
        path = Path(self.config["image"])
        n = self.config["probes"]["n"]
        return probes_of_image(path, subject.net, subject.preprocessing, n)

    def volumes(self) -> Iterator[Volume]:
        """The volumes to explain, one at a time: the image, or the cases with their labels."""
        if self.config["image"] is not None:
            yield read_image(self.config["image"])
            return
        if self.data is None or not self.config["cases"]:
            raise InputError("say which volumes: image=…, or cases=[…] data=… data.root=…")
        given, available = self.config["cases"], self.data.source.cases()
        for value in given if isinstance(given, list) else [given]:
            yield self.data.source.load(case_name(value, available))

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

    @property
    def numbering(self) -> Mapping[str, int] | None:
        """Organ -> number in the label files of the data set, if one was named."""
        return None if self.data is None else self.data.source.numbering

    def _own_network(self) -> Subject:
        if self.data is None:
            raise InputError("net=… needs data=… data.root=…, which says organs and slices")
        net, weights, stages, edges = (
            self.config[name] for name in ("net", "weights", "stages", "edges")
        )
        return from_user(net, weights, stages, self.data, edges)

    def _with_settings(self, subject: Subject) -> Subject:
        given = {name: self.config[name] for name in ("rules", "region", "score", "organs")}
        given |= {name: self.config[name] for name in ("measures", "aggregate")}
        if self.config["net"] is None:
            given["stages"] = self.config["stages"]
        unseen = self.config["image"] is not None or self.whole
        if unseen and given["region"] is None:
            given["region"] = "pred"  # a new image has no ground truth
        return with_settings(subject, **given)


def checked(config: DictConfig) -> Request:
    """Check the configuration before any work.

    Raises:
        InputError: options that are unknown, missing, or exclude one another; a folder that cannot
            be written, or holds results already.
    """
    plain = plainly(config)
    check(plain, KEYS)
    check_probes(plain["probes"], ("val", "train", "test"))
    for switch in ("verdict", "failures", "shared_scale"):
        if type(plain[switch]) is not bool:
            raise InputError(f"{switch}={plain[switch]!r}; give true or false")
    if plain["verdict"] and plain["checkpoint"] is None:
        raise InputError("verdict=true needs checkpoint=…, which holds what stands for a cut")
    if plain["runs"] is None and (plain["checkpoint"] is None) == (plain["net"] is None):
        raise InputError(
            "say what to explain: checkpoint=…, or net=module:builder weights=…; or runs=… to "
            "compare seeds"
        )
    if isinstance(plain["stages"], str) and plain["net"] is None:
        raise InputError(
            f"stages={plain['stages']}: a checkpoint knows its stages; give names to keep, "
            "e.g. stages=[enc1,dec4]"
        )
    check_cut(plain)
    if plain["log_dir"] is not None and plain["checkpoint"] is None:
        raise InputError(
            f"log_dir={plain['log_dir']}: TensorBoard's step is the epoch, which checkpoints of "
            "train.py know; say checkpoint=…"
        )
    folder = Path(HydraConfig.get().runtime.output_dir)
    lock = taken(folder, "explain")
    save_text(folder / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    return Request(plain, folder, lock)
