"""A checked configuration: what ``explain.py`` was asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from segtrace.cli.explain.checks import check_asked_of_data, check_files, check_together
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.explain.options import KINDS, check_options
from segtrace.cli.schema import check
from segtrace.cli.train.train_config import plainly
from segtrace.names import CONFIG
from segtrace.report.files import save_text
from segtrace.report.run_folder import Held, taken
from segtrace.studies.inputs.images import listed
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.slices import Slices
from segtrace.studies.study import Study
from segtrace.training.construction import built


@dataclass(frozen=True)
class ExplainConfig:
    """What to explain.

    Attributes:
        options: plain values, resolved.
        study: what is asked.
        folder: where the results go.
        lock: on the folder, as long as the results are written.
    """

    options: Mapping[str, Any]
    study: Study
    folder: Path
    lock: Held | None = None

    @cached_property
    def networks(self) -> Networks:
        """The networks to explain, by the rules that the command line names."""
        asked = listed(self.options["rules"])
        rules = asked and rules_of(asked)
        return Networks(self.options, self.study.looks_at, self.folder, rules)


def checked(config: DictConfig) -> ExplainConfig:
    """Check the configuration before any work.

    Raises:
        InputError: options that are unknown, missing, or exclude one another; a folder that cannot
            be written, or holds results already.
    """
    plain = plainly(config)
    check(plain, tuple(KINDS), optional=("data", "study"))
    check_options(plain)
    study = study_of(plain)
    check_together(plain, study)
    check_files(plain)
    typed = HydraConfig.get().overrides.task
    check_asked_of_data([one.partition("=")[0].lstrip("+") for one in typed], plain)
    folder = Path(HydraConfig.get().runtime.output_dir)
    lock = taken(folder, "explain")
    save_text(folder / CONFIG, OmegaConf.to_yaml(config, resolve=True))
    return ExplainConfig(plain, study, folder, lock)


def study_of(plain: Mapping[str, Any]) -> Study:
    """The study that is named; the slices where none is.

    Raises:
        InputError: options that its constructor refuses.
    """
    node = plain.get("study")
    if node is None:
        return Slices()
    made: Study = built("study", node, lambda n: instantiate(dict(n), _convert_="all"))
    return made
