"""What ``explain.py`` leaves behind."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from segtrace.names import file_name
from segtrace.report.figures.paper import paper_figure, save_figure
from segtrace.report.files import save_manifest, save_maps, save_png
from segtrace.report.record import Record
from segtrace.report.tables import save_table
from segtrace.tracking.explained import Explained


def write(
    explained: Explained, folder: Path, facts: Mapping[str, Any], *, shared_scale: bool = False
) -> None:
    """Maps, measures, pictures and manifest of one network.

    ``maps.npz`` holds the signed maps at native resolution and the slices themselves, so that
    every picture can be drawn again; ``measures.csv`` a row a stage, rule, organ and slice;
    ``figures/{rule}/{organ}.png`` the pictures; ``manifest.json`` what made them.
    """
    save_maps(folder / "maps.npz", explained.record)
    save_table(folder / "measures.csv", explained.rows())
    flow = explained.record.flow
    for rule, organ in product(flow.rules, flow.organs):
        path = folder / "figures" / file_name(rule) / f"{file_name(organ, flow.organs)}.png"
        save_png(path, explained.picture(rule, organ, shared=shared_scale))
    save_manifest(folder / "manifest.json", facts)


def draw_paper_figure(record: Record, folder: Path, shared_scale: bool = False) -> None:
    """The paper's Figure 1 for the organs of the record: PNG, PDF and caption."""
    organs, rule = record.flow.organs, record.flow.rules[0]
    figure, caption = paper_figure(record, organs, rule, shared=shared_scale)
    save_figure(folder / "figures", "paper_figure", figure, caption)
