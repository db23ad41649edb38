"""The cuts that ``explain.py`` was asked for: of one network, or of those of a training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
from segtrace.tracking.cut_pictures import route_of, table_figure
from segtrace.tracking.cut_tables import cut_tables, report
from segtrace.tracking.cuts import CUT, Cuts, cut_network
from segtrace.tracking.saying import telling
from segtrace.tracking.wiring import sites

EVERY = 10
"""Epochs between two cuts of a training that was not cut while it ran."""
Sampled = SliceDataModule | FittedData | None
"""Where training slices are drawn from."""
WITHOUT_MEANS = ("zero", "resample")
"""Cuts that need no baselines."""


@dataclass(frozen=True)
class CutOptions:
    """How networks are cut.

    Attributes:
        cut: what stands in the place of an activation; ``None`` for what the training did, and for
            nothing where one network is explained alone.
        data: for baselines, where a network brings none.
        untrained: checkpoint of epoch 0 to stand beside one network; ``None`` where there is none.
    """

    cut: str | None
    data: Sampled = None
    untrained: Path | None = None

    def every(self, description: Mapping[str, Any]) -> int | None:
        """Epochs between two cuts of a training, as the callback did; ``None`` for never.

        Args:
            description: of its first checkpoint.
        """
        return description.get("cut_every") or (EVERY if self.cut is not None else None)

    def of(self, subject: Subject, probes: Probes) -> Callable[[], Cuts] | None:
        """What cuts a network of a training; ``None`` where the callback skipped it too."""
        if subject.baselines is None and self.cut is None:
            return None
        return partial(cut_subject, subject, probes, self.cut or CUT, self.data)


def cut_alone(
    options: CutOptions, subject: Subject, probes: Probes, folder: Path
) -> tuple[Cuts | None, Cuts | None]:
    """Cut one network and the untrained one, if that was asked for, and write what it cost.

    Returns:
        The cuts and those of the untrained network, as far as there are any.

    Raises:
        InputError: see :func:`cut_subject`.
    """
    if options.cut is None:
        return None, None
    cuts, before = cut_subject(subject, probes, options.cut, options.data), None
    if subject.epoch != 0:
        untrained = untrained_of(subject, options.untrained)
        if untrained is not None:
            before = cut_subject(untrained, probes, options.cut, options.data)
    write(cuts, before, folder)
    return cuts, before


def routes(cuts: Cuts | None, untrained: Cuts | None) -> dict[str, RouteEntry]:
    """Organ -> the route of the last network that was cut, for the page; may be empty."""
    if cuts is None or cuts.route is None:
        return {}
    before = untrained if cuts.epoch != 0 else None
    return {
        organ: route_entry(route_of(cuts, before, organ)[0], words)
        for organ, words in cuts.sentences().items()
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
    for name, rows in cut_tables(cuts, untrained).items():
        save_table(folder / name, rows)
    figures = folder / "figures"
    save_figure(figures, "necessity", *table_figure(cuts))
    if cuts.route is not None:
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
