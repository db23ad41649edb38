"""A checked configuration: what ``explain.py`` was asked to do."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.checks import (
    check_asked_of_data,
    check_files,
    check_organs,
    check_processes,
    check_together,
    check_volumes,
)
from segtrace.cli.explain.each_image import each_image, images_in
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.explain.options import KINDS, check_options
from segtrace.cli.schema import check, plainly
from segtrace.errors import InputError
from segtrace.explainers.explainer import Explainer
from segtrace.integrations.asked import ForeignNetworks, explained, is_foreign
from segtrace.names import CONFIG, file_name
from segtrace.progress import say
from segtrace.report.files import save_text
from segtrace.report.page.page import Page
from segtrace.report.run_folder import Held, taken
from segtrace.studies.explainers import check_before_image, check_explainers, placed, run_explainers
from segtrace.studies.inputs.images import listed
from segtrace.studies.inputs.named_paths import paths_of
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.slices import Slices
from segtrace.studies.study import Result, RunsExplainers, Study
from segtrace.studies.volumes.predictions import save_prediction
from segtrace.training.construction import construct


@dataclass(frozen=True)
class ExplainConfig:
    """What to explain.

    Attributes:
        options: plain values, resolved.
        study: what is asked.
        explainers: methods of other papers, by the names under ``explainers``.
        folder: where the results go.
        lock: on the folder, as long as the results are written.
    """

    options: Mapping[str, Any]
    study: Study
    explainers: Mapping[str, Explainer]
    folder: Path
    lock: Held | None = None

    @cached_property
    def networks(self) -> Networks:
        """The networks to explain, by the rules that the command line names."""
        asked = listed(self.options["rules"])
        rules = asked and rules_of(asked)
        kind = ForeignNetworks if is_foreign(self.options) else Networks
        return kind(self.options, self.study.looks_at, self.folder, rules, self.study.of_one_run)

    def results(self) -> Iterator[Result]:
        """What the study finds, and then what each explainer does, a piece at a time.

        Of a folder of images: all that of each, written, and then what became of them.
        """
        check_before_image(self.explainers, self.networks.images)
        if self.images:
            checkpoints = paths_of(self.options["checkpoint"] or [])
            explain = replace(self, lock=None)._explain  # which other processes can be sent
            channels, processes = channels_of(self.options), self.options["processes"]
            yield from each_image(
                self.images, self.folder, checkpoints, explain, channels, processes
            )
            return
        networks, images = self.networks, self.networks.images
        if isinstance(networks, ForeignNetworks) and isinstance(self.study, Slices):
            yield from explained(self.study, networks)
            return
        check_explainers(self.explainers, networks, images)
        if isinstance(self.study, RunsExplainers):
            yield from self.study.run_beside(networks, images, self.explainers)
            return
        yield from self.study.run(networks, images)
        yield from run_explainers(self.explainers, networks, images)

    @cached_property
    def images(self) -> list[Path]:
        """The images of the folder that was named in the place of one."""
        named = self.options["image"]
        return [] if named is None else images_in(Path(named), channels_of(self.options))

    def _explain(self, image: Path, folder: Path) -> None:
        """All of one image of several."""
        one = replace(self, options={**self.options, "image": str(image)}, folder=folder, lock=None)
        if self.study.looks_at == "slices":  # the whole image's prediction; of volumes it is there
            trained, _ = replace(one.networks, looks_at="volumes").last
            save_prediction(trained, image, folder)
        page = Page()
        for result in one.results():
            result.write(folder)
            result.show(page)
        page.write(folder / "index.html")


def checked(config: DictConfig) -> ExplainConfig:
    """Check the configuration before any work.

    Raises:
        InputError: options that are unknown, missing, or exclude one another; a folder that cannot
            be written, or holds results already.
    """
    plain = plainly(config)
    typed = [one.partition("=")[0].lstrip("+") for one in HydraConfig.get().overrides.task]
    _check(plain, typed)
    check_options(plain)
    study = study_of(plain)
    explainers = explainers_of(plain)
    check_together(plain, study, explainers)
    check_files(plain)
    check_organs(plain)
    check_volumes(plain, study, explainers)
    check_asked_of_data(typed, plain)
    folder = Path(HydraConfig.get().runtime.output_dir)
    words, several = OmegaConf.to_yaml(config, resolve=True), plain["image"] is not None
    several = several and bool(images_in(Path(plain["image"]), channels_of(plain)))
    check_processes(plain, study, several=several)
    goes_on = several or getattr(study, "goes_on", False)
    lock = taken(folder, "explain", goes_on=words if goes_on else None)
    if goes_on and not several:
        say(f"Where this is broken off, the same command with hydra.run.dir={folder} goes on.")
    save_text(folder / CONFIG, words)
    return ExplainConfig(plain, study, explainers, folder, lock)


def channels_of(options: Mapping[str, Any]) -> int:
    """Of an image that the network of a checkpoint takes."""
    if not options["checkpoint"]:
        return 1
    described = checkpoint.describe(paths_of(options["checkpoint"])[0])
    return int(described["preprocessing"].get("channels", 1))


def _check(plain: Mapping[str, Any], typed: Collection[str]) -> None:
    """Hold the options against the constructors that take them.

    Lightning takes seconds to import, and a trainer as it stands in conf/ needs no check.
    """
    if any(key.lstrip("~").startswith("trainer") for key in typed):
        check(plain, tuple(KINDS), optional=("data", "study"), bare=("model",))
    else:
        own = {**plain, "trainer": None}
        check(own, tuple(KINDS), optional=("data", "study", "trainer"), bare=("model",))


def study_of(plain: Mapping[str, Any]) -> Study:
    """The study that is named; the slices where none is.

    Raises:
        InputError: options that its constructor refuses.
    """
    node = plain.get("study")
    if node is None:
        return Slices()
    made: Study = construct("study", node)
    return made


def explainers_of(plain: Mapping[str, Any]) -> dict[str, Explainer]:
    """The explainers that are named, by the names of their folders.

    Raises:
        InputError: options that a constructor refuses; a name that is no name of a folder.
    """
    nodes = {name: node for name, node in plain["explainers"].items() if node is not None}
    for name in nodes:
        if file_name(name) != name:
            raise InputError(f"explainers.{name}: call it by letters, digits and _ alone")
    made: dict[str, Explainer] = {}
    for name, node in nodes.items():
        with placed(name):
            made[name] = construct(f"explainers.{name}", node)
    return made
