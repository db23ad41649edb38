"""A checked configuration: what ``explain.py`` was asked to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from segtrace.data.datamodule import SliceDataModule
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.report.files import check_writable
from segtrace.training.image import probes_of_image
from segtrace.training.plan import check_probes, plainly
from segtrace.training.schema import check
from segtrace.training.subject import (
    Subject,
    from_checkpoint,
    from_user,
    paths_of,
    with_settings,
)

KEYS = (
    "checkpoint", "image", "net", "weights", "stages", "rules", "region", "score", "organs",
    "measures", "probes", "seed", "data", "study",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What to explain.

    Attributes:
        config: plain dicts, resolved.
        folder: where the results go.
    """

    config: Mapping[str, Any]
    folder: Path

    @property
    def figure(self) -> bool:
        """Whether to draw the paper's figure."""
        return (self.config.get("study") or {}).get("figure") == "paper_figure"

    @cached_property
    def data(self) -> SliceDataModule | None:
        """The data set that was named, if any."""
        if not self.config.get("data"):
            return None
        module: SliceDataModule = instantiate(self.config["data"], _convert_="all")
        return module

    def subjects(self) -> Iterator[tuple[Subject, Path]]:
        """The networks, one at a time, and a folder for each."""
        if self.config["net"] is not None:
            yield self._with_settings(self._own_network()), self.folder
            return
        paths = paths_of(self.config["checkpoint"])
        for path, name in zip(paths, _names(paths), strict=True):
            folder = self.folder / name if len(paths) > 1 else self.folder
            yield self._with_settings(from_checkpoint(path)), folder

    def slices(self, subject: Subject) -> Probes:
        """The slices to explain it on."""
        n = self.config["probes"]["n"]
        if self.config["image"] is not None:
            path = Path(self.config["image"])
            return probes_of_image(path, subject.net, subject.preprocessing, n)
        return subject.slices(self.data, n, self.config["probes"]["from"])

    def _own_network(self) -> Subject:
        if self.data is None:
            raise InputError("net=… needs data=… data.root=…, which says organs and slices")
        return from_user(
            self.config["net"], self.config["weights"], self.config["stages"], self.data
        )

    def _with_settings(self, subject: Subject) -> Subject:
        given = {name: self.config[name] for name in ("rules", "region", "score", "organs")}
        given["measures"] = self.config["measures"]
        if self.config["net"] is None:
            given["stages"] = self.config["stages"]
        if self.config["image"] is not None and given["region"] is None:
            given["region"] = "pred"  # a new image has no ground truth
        return with_settings(subject, **given)


def checked(config: DictConfig) -> Request:
    """Check the configuration before any work.

    Raises:
        InputError: options that are unknown, missing, or exclude one another.
    """
    plain = plainly(config)
    check(plain, KEYS)
    check_probes(plain["probes"])
    if (plain["checkpoint"] is None) == (plain["net"] is None):
        raise InputError("say what to explain: checkpoint=…, or net=module:builder weights=…")
    if isinstance(plain["stages"], str) and plain["net"] is None:
        raise InputError(
            f"stages={plain['stages']}: a checkpoint knows its stages; give names to keep, "
            "e.g. stages=[enc1,dec4]"
        )
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_writable(folder)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    return Request(plain, folder)


def _names(paths: list[Path]) -> list[str]:
    """A folder name for each checkpoint: its own, numbered where two runs use the same."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{number:03d}_{stem}" for number, stem in enumerate(stems)]
