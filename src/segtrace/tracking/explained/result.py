"""What explaining gives: maps and measures of some slices, drawn, shown and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from segtrace.attribution.flow import Status
from segtrace.labelled import Dataset, rows
from segtrace.measures.localisation import COLUMNS
from segtrace.names import file_name
from segtrace.report.files import save_manifest, save_maps, save_png
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.in_notebooks import as_html, in_short, shown
from segtrace.report.pictures.mosaic import ROWS, flow_picture
from segtrace.report.pictures.shown import ShownPicture
from segtrace.report.record import Record
from segtrace.report.tables import save_table
from segtrace.report.volumes.nifti import save_volumes


@dataclass(frozen=True, eq=False, repr=False)
class Explained:
    """Maps and measures of some slices at one epoch.

    Attributes:
        record: the flow, the slices it lies on, the region and the epoch.
        measures: a number of every map a measure, as
            :func:`~segtrace.measures.localisation.measure` returns it; the record adds the
            coordinates ``case`` and ``slice`` (its number in the case), ``region`` and ``epoch``.
    """

    record: Record
    measures: Dataset

    def __post_init__(self) -> None:
        record, scene = self.record, self.record.scene
        named = self.measures.assign_coords(
            slice=list(scene.slices),
            case=("slice", list(scene.cases)),
            region=record.region,
            epoch=((), record.epoch),
        )
        object.__setattr__(self, "measures", named)

    def rows(self) -> list[dict[str, Any]]:
        """The table of measures: one row a slice, organ, rule and stage."""
        labels = np.array([status.label for status in Status])
        named = self.measures.rename(site="stage", scores="score")
        shown = named.assign_coords(status=(named["status"].dims, labels[named["status"]]))
        return rows(shown, ("slice", "organ", "rule", "stage"), [*COLUMNS, *named])

    def picture(
        self, rule: str, organ: str, rows: Sequence[int] | int = ROWS, *, shared: bool = False
    ) -> Picture:
        """The picture of one rule and organ, (H, W, 3); see :func:`flow_picture`."""
        return flow_picture(self.record, rule, organ, rows=rows, shared=shared)

    def show(
        self,
        organ: str | None = None,
        epoch: int | None = None,
        *,
        rule: str | None = None,
        rows: Sequence[int] | int = ROWS,
        shared: bool = False,
    ) -> ShownPicture:
        """The picture of one organ, every stage of the network, for a notebook.

        Args:
            organ: one of the flow's organs; ``None`` for the first.
            epoch: that it must be of, so that no picture is taken for another epoch's.
            rule: one of the flow's rules; ``None`` for the first.
            rows: slices, or how many of those with most of the organ.
            shared: one colour scale for all cells instead of one for each.

        Raises:
            InputError: an organ or a rule that the flow lacks; another epoch than this one.
        """
        return shown(self.record, organ, epoch, rule, rows, shared=shared)

    def __repr__(self) -> str:
        return in_short(self.record)

    def _repr_html_(self) -> str:
        return as_html(self.record, self.measures)

    def write_nifti(
        self,
        folder: Path | str,
        organs: Sequence[str] | None = None,
        rules: Sequence[str] | None = None,
        stages: Sequence[str] | None = None,
    ) -> list[Path]:
        """Maps of volumes as NIfTI, each in the grid of the file that its volume was read from.

        See :func:`~segtrace.report.volumes.nifti.save_volumes`, also for what is refused.
        """
        return save_volumes(Path(folder), self.record, organs, rules, stages)

    def write(self, folder: Path, facts: Mapping[str, Any], *, shared_scale: bool = False) -> None:
        """Maps, measures, pictures and manifest.

        ``maps.npz`` holds the signed maps at native resolution and the slices themselves, so that
        every picture can be drawn again; ``measures.csv`` a row a stage, rule, organ and slice;
        ``figures/{rule}/{organ}.png`` the pictures of organs that some slice has a region of;
        ``manifest.json`` what made them.
        """
        save_maps(folder / "maps.npz", self.record)
        save_table(folder / "measures.csv", self.rows())
        flow = self.record.flow
        for rule, organ in product(flow.rules, self.record.organs_here):
            path = folder / "figures" / file_name(rule) / f"{file_name(organ, flow.organs)}.png"
            save_png(path, self.picture(rule, organ, shared=shared_scale))
        save_manifest(folder / "manifest.json", facts)
