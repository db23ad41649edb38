"""The cuts that ``explain.py`` was asked for: of one network, or along a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.causal.replacement import CUTS
from segtrace.data.datamodule import SliceDataModule
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.names import file_name
from segtrace.report.figures.paper import save_figure
from segtrace.report.page.routes import RouteEntry, route_entry
from segtrace.report.tables import save_table
from segtrace.studies.fitted_data import FittedData
from segtrace.studies.subject import Subject, untrained_of
from segtrace.tracking.cut_course import CutCourse
from segtrace.tracking.cut_pictures import route_of, table_figure
from segtrace.tracking.cut_tables import necessity_rows, report, route_rows, slice_rows
from segtrace.tracking.cuts import CUT, Cuts, cut_network
from segtrace.tracking.saying import telling
from segtrace.tracking.sink import Sink
from segtrace.tracking.wiring import sites

EVERY = 10
"""Epochs between two cuts of a training that was not cut while it ran."""
Sampled = SliceDataModule | FittedData | None
"""Where training slices are drawn from."""
WITHOUT_MEANS = ("zero", "resample")
"""Cuts that need no baselines."""


class CutReplay:
    """What is cut, and told of it.

    Args:
        cut: what stands in the place of an activation; ``None`` for what the training did, and for
            nothing where one network is explained alone.
        data: for baselines, where a network brings none.
        untrained: checkpoint of epoch 0 to stand beside one network; ``None`` where there is none.

    Attributes:
        latest: the last cuts.
        before: those of the untrained network.
    """

    def __init__(
        self, cut: str | None, data: Sampled = None, untrained: Path | None = None
    ) -> None:
        self.cut, self.data, self.untrained = cut, data, untrained
        self.latest: Cuts | None = None
        self.before: Cuts | None = None
        self._course = CutCourse(None)
        self._epochs: list[int] = []

    def along(self, descriptions: Sequence[Mapping[str, Any]]) -> None:
        """From here on a training is told, cut every so many epochs, as the callback did.

        Args:
            descriptions: of its checkpoints, in the order of their epochs.
        """
        every = descriptions[0].get("cut_every") or (EVERY if self.cut is not None else None)
        self._course = CutCourse(every)
        self._epochs = [int(description["epoch"]) for description in descriptions]

    def add(self, subject: Subject, probes: Probes, folder: Path, sink: Sink) -> None:
        """Cut the next network, if that was asked for and its turn has come, and tell the cost.

        Args:
            subject: the network.
            probes: the slices.
            folder: for the tables and figures of a network alone.
            sink: for those of a training.

        Raises:
            InputError: see :func:`cut_subject`.
        """
        if self._epochs:
            self._along(subject, probes, sink)
        elif self.cut is not None:
            self.latest = cut_subject(subject, probes, self.cut, self.data)
            if subject.epoch != 0:
                other = untrained_of(subject, self.untrained)
                if other is not None:
                    self.before = cut_subject(other, probes, self.cut, self.data)
            write(self.latest, self.before, folder)

    def _along(self, subject: Subject, probes: Probes, sink: Sink) -> None:
        if subject.baselines is None and self.cut is None:  # the callback skipped it too
            return
        if self._course.due(subject.epoch or 0, subject.epoch == self._epochs[-1]):
            self.latest = cut_subject(subject, probes, self.cut or CUT, self.data)
            self._course.tell(sink, self.latest)
            self.before = self._course.untrained

    def routes(self) -> dict[str, RouteEntry]:
        """Organ -> the route of the last network that was cut, for the page; may be empty."""
        if self.latest is None:
            return {}
        before = self.before if self.latest.epoch != 0 else None
        return {
            organ: route_entry(route_of(self.latest, before, organ)[0], words)
            for organ, words in self.latest.sentences().items()
        }


def cut_subject(subject: Subject, probes: Probes, cut: str, data: Sampled) -> Cuts:
    """Cut every stage and edge of a network on some slices.

    Raises:
        InputError: slices without labels or without any organ; no baselines and no data to
            collect them from.
    """
    means = _means(subject, cut, data)
    with telling() as progress:
        found = cut_network(
            subject.on(probes), subject.edges, means, subject.epoch, cut=cut, progress=progress
        )
    if found is None:
        raise InputError(
            f"none of the organs ({', '.join(subject.settings.organs or subject.channels)}) is on "
            "these slices, so no cut can be judged; give other slices or organs"
        )
    return found


def _means(subject: Subject, cut: str, data: Sampled) -> Baselines | None:
    """Those of the checkpoint, or of the training slices of the data that was given."""
    if subject.baselines is not None and cut != "mean_map":
        return subject.baselines
    if data is not None:
        places = sites(subject.net, subject.stages, subject.edges)
        maps = cut == "mean_map"
        return collect(subject.net, places, [data.sample(ENOUGH)], maps=maps, batch=SLICES)
    if cut in WITHOUT_MEANS:
        print(f"{subject.name} holds no baselines, so no route is found; give data=… data.root=…")
        return None
    what = "mean maps" if cut == "mean_map" else "baselines"
    raise InputError(
        f"cut={cut}: {subject.name} holds no {what}; give data=… data.root=…, so that they can be "
        "collected over its training slices"
    )


def write(cuts: Cuts, untrained: Cuts | None, folder: Path) -> None:
    """Tables and figures of one network, and the summary in the terminal.

    ``necessity.csv`` (a row a site and organ), ``necessity_slices.csv`` (and slice), ``route.csv``;
    ``figures/necessity.png``, ``figures/route_{organ}.png``, the same as PDF, and ``caption.txt``.
    """
    save_table(folder / "necessity.csv", necessity_rows(cuts, untrained))
    save_table(folder / "necessity_slices.csv", slice_rows(cuts))
    figures = folder / "figures"
    save_figure(figures, "necessity", *table_figure(cuts))
    if cuts.route is not None:
        save_table(folder / "route.csv", route_rows(cuts, untrained))
        for organ in cuts.organs:
            name = f"route_{file_name(organ, cuts.organs)}"
            save_figure(figures, name, *route_of(cuts, untrained, organ))
    report(cuts)


def check_cut(options: Mapping[str, Any]) -> None:
    """Refuse a cut that cannot be made, before any work.

    Raises:
        InputError: an unknown cut; images without labels; edges for a network that knows its own.
    """
    cut = options["cut"]
    if cut is not None and cut not in CUTS:
        raise unknown("cut", str(cut), CUTS)
    if cut is not None and (options["image"] or options["volume"] or options["cases"]):
        raise InputError(
            f"cut={cut} is judged on labelled slices: those of the checkpoint, or of data=…; leave "
            "image, volume and cases out"
        )
    own = options["net"] is not None and options["checkpoint"] is None
    if options["edges"] is not None and not own:
        raise InputError(f"edges={options['edges']}: a checkpoint knows its edges; leave it out")
