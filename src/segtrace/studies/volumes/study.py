"""All slices of an image, or of cases of a data set, as NIfTI in the image's own grid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from segtrace.data.files.nifti import Volume
from segtrace.errors import InputError
from segtrace.names import file_name
from segtrace.report.captions import plain
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section
from segtrace.studies.inputs.cautions import UNNAMED
from segtrace.studies.inputs.images import Images, LooksAt, given_of, listed
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.study import refuse_beside
from segtrace.studies.volumes.whole import explain_whole
from segtrace.tracking.explained import Explained


@dataclass(frozen=True)
class Volumes:
    """All slices of an image, or of cases of a data set, as NIfTI in the image's own grid.

    Attributes:
        cases: names of cases of ``data``; none for the image.
        one_file_an_organ: a 4-D file with a volume a stage, in the place of a file a stage.
    """

    looks_at: ClassVar[LooksAt] = "volumes"
    of_one_run: ClassVar[bool] = True
    cases: str | int | list[str | int] | None = None
    one_file_an_organ: bool = False

    def check(self, options: Mapping[str, Any]) -> None:
        """One answer to the question which volumes, and nothing that chooses slices."""
        image, given = options["image"], given_of(options["probes"])
        if image is not None and self.cases is not None:
            raise InputError("image=… and cases=… are two answers to one question; leave one out")
        if image is None and (not listed(self.cases) or not options.get("data")):
            raise InputError("say which volumes: image=…, or cases=[…] data=… data.root=…")
        refuse_beside(options, "volumes", ("log_dir",), "no training is told")
        if given:
            raise InputError(
                f"probes.{next(iter(given))} chooses slices, and all are explained; leave it out"
            )

    def run(self, networks: Networks, images: Images) -> Iterator["ExplainedVolume"]:
        """Every volume by every network, one slice after the other."""
        # Imported here: a check of options needs no Lightning.
        from segtrace.studies.volumes.tracing import explain_volume

        for trained, within in networks:
            for volume in images.volumes(listed(self.cases) or []):
                place = within / file_name(volume.name)
                folder = networks.folder / place
                if trained.of_volumes:
                    known, maps = explain_whole(trained, volume, folder, self.one_file_an_organ)
                    yield ExplainedVolume(known, volume, place, maps)
                    continue
                found = explain_volume(
                    trained, volume, folder, networks.trainer, images.numbering,
                    self.one_file_an_organ,
                )  # fmt: skip
                yield ExplainedVolume(found, volume, place)


@dataclass(frozen=True)
class ExplainedVolume:
    """A volume that was explained; its files are too large to be kept until they are written.

    Attributes:
        trained: the network.
        volume: the image.
        within: where the files lie, below the folder of all results.
        maps: of a volume that was explained as one.
    """

    trained: TrainedNetwork
    volume: Volume
    within: Path
    maps: Explained | None = None

    def write(self, folder: Path) -> None:
        """Nothing more: every slice was written as it came."""

    def show(self, page: Page) -> None:
        """What was written, and where; the first volume that was explained as one in planes."""
        if self.maps is not None and page.first is None:
            page.add(self.maps)
        settings = self.trained.settings
        what = "Every slice" if self.maps is None else "The volume, window by window,"
        name = UNNAMED if self.volume.label is None else f"case {self.volume.name}"
        rules = ", ".join(map(plain, settings.rule_names))
        facts = self.trained.facts
        cautions = (*page.about.cautions, *facts.get("cautions", ()))
        page.about = replace(page.about, facts=facts, cautions=cautions)
        page.sections.append(
            Section(
                f"Whole volume: {name}, {self.trained.name}",
                (
                    f"{what} is explained by {rules}, region {settings.region}. The "
                    "prediction and the maps lie beside this page as NIfTI in the image's own "
                    "grid, with names and colours for ITK-SNAP and 3D Slicer; README.txt there "
                    "says how to open them.",
                ),
            )
        )
