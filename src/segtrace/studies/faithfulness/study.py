"""Does cutting bear out what the maps show?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from segtrace.errors import InputError
from segtrace.report.page.page import Page
from segtrace.studies.faithfulness.files import section, write_result
from segtrace.studies.faithfulness.judging import FaithfulnessResult, judge_trained
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.study import refuse_beside


@dataclass(frozen=True)
class Faithfulness:
    """Whether cutting what the maps mark costs more than cutting elsewhere.

    Cases that the network was not trained on, some slices of each: ``probes.n``, ``probes.from``.
    """

    looks_at: ClassVar[LooksAt] = "spread"
    of_one_run: ClassVar[bool] = True

    def check(self, options: Mapping[str, Any]) -> None:
        """A checkpoint, which holds what stands for a cut, and labelled slices."""
        if options["checkpoint"] is None:
            raise InputError("verdict=true needs checkpoint=…, which holds what stands for a cut")
        why = "maps are judged on labelled slices, by cuts"
        refuse_beside(options, "verdict", ("image", "log_dir"), why)

    def run(self, networks: Networks, images: Images) -> Iterator["JudgedNetwork"]:
        """The maps of every network, beside the untrained one if it is at hand."""
        for trained, within in networks:
            before = networks.untrained_of(trained)
            found = judge_trained(trained, before, images.slices, networks.seed)
            yield JudgedNetwork(trained, found, within)


@dataclass(frozen=True)
class JudgedNetwork:
    """What cutting says of a network's maps.

    Attributes:
        trained: the network.
        found: the verdicts.
        within: where they go, below the folder of all results.
    """

    trained: TrainedNetwork
    found: FaithfulnessResult
    within: Path

    def write(self, folder: Path) -> None:
        """See :func:`write_result`."""
        write_result(self.found, folder / self.within)

    def show(self, page: Page) -> None:
        """Verdicts and rankings with their figures."""
        facts = self.trained.facts
        page.about = replace(page.about, facts=facts, cautions=facts.get("cautions", ()))
        page.sections.append(section(self.found))
