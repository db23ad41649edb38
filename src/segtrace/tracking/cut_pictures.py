"""What cutting found, as pictures: the necessity table, routes, Dice lost over epochs."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch import Tensor

from segtrace.labelled import names_along, tensor
from segtrace.report.captions import epoch_words
from segtrace.report.figures.necessity import in_order, necessity_figure
from segtrace.report.figures.route import route_figure
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import timeline_picture
from segtrace.tracking.cuts import Cuts


def table_figure(cuts: Cuts) -> tuple[Figure, str]:
    """Stages and edges x organs, and the paragraph under it."""
    lost, sites = cuts.necessity.lost, names_along(cuts.necessity.data, "site")
    found = cuts.diagram(cuts.organs[0], "").branches if cuts.route is not None else ()
    return necessity_figure(
        tensor(lost["mean"]),
        sites,
        cuts.organs,
        dice=[cuts.dice(organ) for organ in cuts.organs],
        vertices=[site in cuts.vertices for site in sites],
        title=epoch_words(cuts.epoch),
        cut=cuts.necessity.data.attrs["cut"],
        ends=(tensor(lost["low"]), tensor(lost["high"])),
        order=in_order(sites, tensor(lost["mean"]), cuts.encoders, found),
        marks=cuts.marks,
    )


def route_of(cuts: Cuts, organ: str, *, told: bool = True) -> tuple[Figure, str]:
    """The route diagram of an organ, the mean over organs beside it, and its paragraph.

    Args:
        cuts: of all stages and edges.
        organ: which.
        told: its sentence stands over the diagram; else its name.
    """
    own = cuts.diagram(organ, epoch_words(cuts.epoch))
    own = own if told else replace(own, words="")
    networks = [own, cuts.mean_diagram] if len(cuts.organs) > 1 else [own]
    return route_figure(organ, cuts.encoders, networks, cuts.marks)


def cut_timeline(cuts: Cuts, organ: str, epochs: Sequence[int], lost: Sequence[Tensor]) -> Picture:
    """The Dice of an organ lost by every cut, (S, O) at each of the epochs."""
    found, o = cuts.necessity.data, cuts.organs.index(organ)
    facts = "  ·  ".join([f"cut: {found.attrs['cut']}; epoch 0 is untrained; one run", *cuts.marks])
    caption = f"{organ}  ·  Dice lost when a stage or edge is cut\n{facts}"
    values = torch.stack([one[:, o] for one in lost], 1)
    return timeline_picture(values, names_along(found, "site"), epochs, caption)
