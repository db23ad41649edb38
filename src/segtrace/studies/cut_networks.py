"""Cuts of one network, or of those of a training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from matplotlib.figure import Figure

from segtrace.causal.baselines import ENOUGH, Baselines, collect
from segtrace.causal.batches import SLICES
from segtrace.causal.replacement import CUTS
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.names import file_name
from segtrace.progress import counted, over, say, step
from segtrace.report.captions import epoch_words
from segtrace.report.figures.drawing import save_figure
from segtrace.report.page.routes import RouteEntry, route_entry
from segtrace.report.page.sections import Section, Shown, embedded
from segtrace.report.tables import save_table
from segtrace.studies.inputs.fitted_data import FittedData
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.cut_pictures import route_of, table_figure
from segtrace.tracking.cut_tables import cut_tables, report
from segtrace.tracking.cuts import CUT, Cuts, cut_network, in_words
from segtrace.tracking.edges import sites

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule

EVERY = 10
"""Epochs between two cuts of a training that was not cut while it ran."""
Sampled: TypeAlias = "CaseDataModule | FittedData | None"
"""Where training slices are drawn from."""
MAPS = "mean_map"
"""The cut by what no checkpoint holds."""
WITHOUT_MEANS = ("zero", "resample")
"""Cuts that need no baselines."""


@dataclass(frozen=True)
class Ablated:
    """What cutting a network cost.

    Attributes:
        cuts: of the network.
        untrained: of the untrained one beside it; ``None`` where there is none.
    """

    cuts: Cuts
    untrained: Cuts | None

    @cached_property
    def figures(self) -> dict[str, tuple[Figure, str]]:
        """Name of a file -> figure and its paragraph, each drawn once for files and page."""
        organs = self.cuts.organs
        found = {"necessity": table_figure(self.cuts)}
        for organ in () if self.cuts.route is None else organs:
            found[f"route_{file_name(organ, organs)}"] = route_of(self.cuts, organ)
        return found

    def write(self, folder: Path) -> None:
        """Tables and figures of one network, and the summary in the terminal.

        ``necessity.csv`` (a row a site and organ), ``necessity_slices.csv`` (and slice),
        ``route.csv``; ``figures/necessity.png``, ``figures/route_{organ}.png``, the same as PDF,
        and ``caption.txt``.
        """
        for name, rows in cut_tables(self.cuts, self.untrained).items():
            save_table(folder / name, rows)
        words = f"{epoch_words(self.cuts.epoch)}: drawing {counted(len(self.figures), 'figure')}"
        for name, (figure, caption) in over(self.figures.items(), words, len(self.figures)):
            save_figure(folder / "figures", name, figure, caption)
        report(self.cuts)

    def routes(self) -> dict[str, RouteEntry]:
        """Organ -> its route, for the page; may be empty."""
        if self.cuts.route is None:
            return {}
        return {
            organ: route_entry(route_of(self.cuts, organ, told=False)[0], words)
            for organ, words in self.cuts.sentences().items()
        }

    def section(self) -> Section:
        """What each organ needs, for the page."""
        figure, caption = self.figures["necessity"]
        return Section(
            f"What each organ needs, {epoch_words(self.cuts.epoch)}",
            tuple(self.cuts.told()),
            (Shown(embedded(figure), f"{caption} All numbers: necessity.csv."),),
        )


def epochs_between(cut: str | None, description: Mapping[str, Any]) -> int | None:
    """Epochs between two cuts of a training, as the callback did; ``None`` for never.

    Args:
        cut: what was asked for; ``None`` for what the training did.
        description: of its first checkpoint.
    """
    return description.get("cut_every") or (EVERY if cut is not None else None)


def check_kept(cut: str) -> None:
    """Refuse a cut by means that a checkpoint does not hold, or that there is not.

    Raises:
        InputError: with those that there are.
    """
    kept = [name for name in CUTS if name != MAPS]
    if cut not in kept:
        raise unknown("cut", cut, kept)


def check_collected(cut: str | None, data: Any) -> None:
    """Refuse a cut by mean maps where there is nothing to collect them from, before any work.

    Args:
        cut: what was asked for, if anything.
        data: the data set that was named, if any.

    Raises:
        InputError: with what to give.
    """
    if cut == MAPS and not data:
        raise InputError(
            f"cut={cut}: no checkpoint holds mean maps; give data=… data.root=…, so that they can "
            "be collected over its training slices"
        )


def cutter(
    trained: TrainedNetwork, probes: Probes, cut: str | None, data: Sampled
) -> Callable[[], Cuts] | None:
    """What cuts a network of a training; ``None`` where the callback skipped it too."""
    if trained.baselines is None and cut is None:
        return None
    routes = trained.epoch != 0
    return partial(cut_trained, trained, probes, cut or CUT, data, routes=routes)


def ablate(
    trained: TrainedNetwork,
    untrained: TrainedNetwork | None,
    probes: Probes,
    cut: str,
    data: Sampled,
) -> Ablated:
    """Cut one network, and the untrained one if it is at hand.

    Args:
        trained: the network.
        untrained: the same before its training, to stand beside it; ``None`` without one.
        probes: labelled slices.
        cut: what stands in the place of an activation.
        data: for baselines, where the network brings none.

    Raises:
        InputError: see :func:`cut_trained`.
    """
    cuts = cut_trained(trained, probes, cut, data)
    if untrained is None:
        return Ablated(cuts, None)
    return Ablated(cuts, cut_trained(untrained, probes, cut, data, routes=False))


def cut_trained(
    trained: TrainedNetwork, probes: Probes, cut: str, data: Sampled, *, routes: bool = True
) -> Cuts:
    """Cut every stage and edge of a network on some slices; integrate along its route if asked.

    Raises:
        InputError: slices without labels or without any organ; no baselines and no data to
            collect them from.
    """
    means = _means(trained, cut, data)
    with step(*in_words(trained.name)) as progress:
        found = cut_network(
            trained.on(probes),
            trained.edges,
            means,
            trained.epoch,
            cut=cut,
            routes=routes,
            progress=progress,
        )
    if found is None:
        raise InputError(
            f"none of the organs ({', '.join(trained.settings.organs or trained.channels)}) is on "
            "these slices, so no cut can be judged; give other slices or organs"
        )
    return found


def _means(trained: TrainedNetwork, cut: str, data: Sampled) -> Baselines | None:
    """Those of the checkpoint, or of the training slices of the data that was given."""
    if trained.baselines is not None and cut != MAPS:
        return trained.baselines
    if data is not None:
        places = sites(trained.net, trained.stages, trained.edges)
        maps = cut == MAPS
        return collect(trained.net, places, [data.sample(ENOUGH)], maps=maps, batch=SLICES)
    if cut in WITHOUT_MEANS:
        say(f"{trained.name} holds no baselines, so no route is found; give data=… data.root=…")
        return None
    what = "mean maps" if cut == MAPS else "baselines"
    raise InputError(
        f"cut={cut}: {trained.name} holds no {what}; give data=… data.root=…, so that they can be "
        "collected over its training slices"
    )
