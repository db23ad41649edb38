"""Where the numbers and pictures of a run go: a folder, and what its loggers show beside it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from segtrace.labelled import names_along, rows
from segtrace.measures.measure import table
from segtrace.names import file_name
from segtrace.progress import say
from segtrace.report.figures.drawing import as_picture
from segtrace.report.figures.estimates import course_figure
from segtrace.report.files import png, remove, save_bytes, save_png, save_text
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.overview import overview_picture
from segtrace.report.sinks import Sink
from segtrace.report.tables import append_rows, forget_rows, save_table
from segtrace.report.tensorboard import (
    ESTIMATE_TAG,
    NECESSITY_TAG,
    OVERVIEW_TAG,
    ROUTES_TAG,
    estimate_tag,
    events_tag,
    flow_group,
    flow_tag,
    leading,
    leak_tag,
    loss_timeline_tag,
    route_tag,
    scalar_blocks,
    scalar_tag,
    timeline_tag,
)
from segtrace.tracking.cut_pictures import cut_timeline, route_of, table_figure
from segtrace.tracking.cut_tables import cut_tables
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.estimates import Course
from segtrace.tracking.explained import Explained
from segtrace.tracking.history import History, charts, timelines
from segtrace.tracking.leaks import Leaks

NUMBERS = "numbers"
"""Tables of what was measured, which come with every epoch that is explained."""
CHARTS = "charts"
"""Timelines, leakage and events, which take a trace more."""
CUTS = "cuts"
"""What it costs to cut stages and edges."""

EPOCH = re.compile(r"epoch_(\d+)")
TABLES = {
    **dict.fromkeys(
        ("measures.csv", "timeline.csv", "depth.csv", "change.csv", "estimates.csv"), NUMBERS
    ),
    "leakage.csv": CHARTS,
    **dict.fromkeys(("necessity.csv", "necessity_slices.csv", "route.csv"), CUTS),
}
"""Tables that grow with the epochs -> what it is that they hold."""
OVERVIEW = "overview"
"""One picture an epoch of all that."""
PICTURES = {
    "overview.png": OVERVIEW,
    "leak": CHARTS,
    "events": CHARTS,
    "necessity.png": CUTS,
    "route": CUTS,
}
"""Beside the maps of each rule, in the folder of an epoch -> what it is."""
TAGS = {
    OVERVIEW_TAG: OVERVIEW,
    "3_timeline/": CHARTS,
    "4_cut/": CUTS,
    "5_leak/": CHARTS,
    "z_measure/": NUMBERS,
}
"""How tags begin, beside those of each rule -> what it is that they show."""
ENDS = "emergence.csv"
"""The table that only the end of a training can fill."""


@dataclass(frozen=True)
class Writer:
    """A folder, and the sinks of the loggers that there are.

    Files: ``epoch_003/overview.png``; ``epoch_003/{rule}/{organ}.png``; ``measures.csv``, a row a
    slice; ``timeline.csv``, a row a stage beside the untrained network's, with the gain over cases
    and its 95 % t interval (:mod:`segtrace.measures.over_cases`); ``depth.csv``, gain along the
    depth; ``change.csv``, along depth and epochs, with ``measures="all"``;
    ``timeline/{measure}/{rule}/{organ}.png``; ``epoch_003/leak/{rule}/{stage}.png`` and
    ``leakage.csv``; ``epoch_003/events/{rule}.txt``; ``emergence.csv`` at the end. Of cuts the
    tables of :func:`~segtrace.tracking.cut_tables.cut_tables`; ``epoch_010/necessity.png``,
    ``epoch_010/route/{organ}.png`` and ``epoch_010/route/sentences.txt``;
    ``timeline/necessity/{organ}.png``; ``estimates.csv``, what every cut would cost at every epoch,
    and ``timeline/estimate.png``, the real cuts beside it. Names become files by
    :func:`segtrace.names.file_name`.

    A sink gets what tells most, some 40 tags; with ``more``, all that is drawn, and a curve of
    every measure at every stage.
    """

    folder: Path
    sinks: tuple[Sink, ...] = ()
    more: bool = False

    def truncate(self, reached: Mapping[str, int]) -> None:
        """Drop what a run that goes on writes anew: rows and pictures of later epochs.

        Args:
            reached: what is written (:data:`TABLES`, :data:`PICTURES`, rules) -> its last epoch;
                of what is not named nothing is kept. Files of other names stay.
        """
        for name, kind in TABLES.items():
            forget_rows(self.folder / name, "epoch", reached.get(kind, -1) + 1)
        for epoch, path in self.drawn():
            kind = PICTURES.get(path.name, path.name)
            if kind in {*PICTURES.values(), *reached} and epoch > reached.get(kind, -1):
                remove(path)
                if not any(path.parent.iterdir()):
                    remove(path.parent)
        remove(self.folder / ENDS)

    def drawn(self) -> list[tuple[int, Path]]:
        """(epoch, path) of all that lies in the folders of epochs."""
        return [
            (int(found[1]), path)
            for folder in sorted(self.folder.glob("epoch_*"))
            if (found := EPOCH.fullmatch(folder.name))
            for path in sorted(folder.iterdir())
        ]

    def pictures(self, explained: Explained, rules: Iterable[str], *, files: bool = True) -> None:
        """Draw an epoch's maps under these rules."""
        epoch, organs = explained.record.epoch or 0, explained.record.flow.organs
        for rule in rules if files or self.sinks else ():
            for organ in organs:
                picture = explained.picture(rule, organ)
                if files:
                    names = file_name(rule), f"{file_name(organ, organs)}.png"
                    save_png(self.epoch(epoch).joinpath(*names), picture)
                for sink in self.sinks:
                    sink.picture(flow_tag(rule, organ), picture, epoch)

    def overview(self, explained: Explained, history: History, loss: Mapping[int, float]) -> None:
        """Draw the newest epoch in one picture; ``loss``: epoch -> mean over its steps."""
        picture = overview_picture(explained.record, history.course(loss))
        save_png(self.epoch(history.epochs[-1]) / "overview.png", picture)
        for sink in self.sinks:
            sink.picture(OVERVIEW_TAG, picture, history.epochs[-1])

    def numbers(self, explained: Explained, history: History) -> None:
        """Write the numbers of the newest epoch."""
        append_rows(self.folder / "measures.csv", explained.rows())
        append_rows(self.folder / "timeline.csv", history.rows())
        append_rows(self.folder / "depth.csv", history.depth_rows())
        if not self.sinks or not self.more:
            return
        blocks, left_out = scalar_blocks(
            charts(history.rules, history.measures), history.organs, history.stages
        )
        points, words, known = {}, {}, table()
        for measure, rule in blocks:
            newest = history.newest.sel(rule=rule)
            for row in rows(newest, ("organ", "site"), ("organ", "site", measure)):
                tag = scalar_tag(measure, rule, row["organ"], row["site"])
                points[tag], words[tag] = row[measure], known[measure].words
        first = len(history.epochs) == 1  # words stand with the first point of a curve
        if first and left_out:
            names = ", ".join(f"{measure} of {rule}" for measure, rule in left_out)
            say(f"More than 400 charts: {names} only in timeline.csv")
        for sink in self.sinks:
            sink.scalars(points, history.epochs[-1], words if first else {})

    def changes(self, rows: list[dict[str, Any]]) -> None:
        """Write how the maps differ along depth and epochs."""
        append_rows(self.folder / "change.csv", rows)

    def timelines(self, history: History) -> None:
        """Draw every stage over the epochs so far; the file of the last time is replaced."""
        for measure, rule in timelines(history.rules, history.measures):
            tells = (measure, rule) == ("gain", leading(history.rules))
            for organ in history.organs:
                name = f"{file_name(organ, history.organs)}.png"
                path = self.folder / "timeline" / measure / file_name(rule) / name
                tag = timeline_tag(measure, rule, organ)
                picture = history.picture(measure, rule, organ)
                self.chart(path, tag, picture, history.epochs[-1], tells=tells)

    def leaks(self, leaks: Leaks) -> None:
        """Draw whose evidence lies on whose pixels, and tell the events."""
        epoch, stages = leaks.record.epoch or 0, names_along(leaks.found.data, "site")
        append_rows(self.folder / "leakage.csv", leaks.rows())
        for rule in names_along(leaks.found.data, "rule"):
            text = leaks.text(rule)
            save_text(self.epoch(epoch) / "events" / f"{file_name(rule)}.txt", text)
            for sink in self.sinks:
                sink.text(events_tag(rule), text, epoch)
            for stage in stages:
                name = f"{file_name(stage, stages)}.png"
                path = self.epoch(epoch) / "leak" / file_name(rule) / name
                picture = leaks.picture(rule, stage)
                self.chart(path, leak_tag(rule, stage), picture, epoch, tells=False)

    def cuts(self, cuts: Cuts, untrained: Cuts | None) -> None:
        """Write what it cost to cut an epoch's stages and edges, beside the untrained network."""
        epoch = cuts.epoch or 0
        for name, lines in cut_tables(cuts, untrained).items():
            append_rows(self.folder / name, lines)
        table = as_picture(table_figure(cuts)[0])
        self.chart(self.epoch(epoch) / "necessity.png", NECESSITY_TAG, table, epoch)
        if cuts.route is not None:
            self._routes(cuts, epoch)

    def _routes(self, cuts: Cuts, epoch: int) -> None:
        folder = self.epoch(epoch) / "route"
        for organ in cuts.organs:
            path = folder / f"{file_name(organ, cuts.organs)}.png"
            picture = as_picture(route_of(cuts, organ)[0])
            self.chart(path, route_tag(organ), picture, epoch)
        text = "\n\n".join(f"* {words}" for words in cuts.told()) + "\n"
        save_text(folder / "sentences.txt", text)
        for sink in self.sinks:
            sink.text(ROUTES_TAG, text, epoch)

    def cut_timelines(self, cuts: Cuts, epochs: Sequence[int], lost: Sequence[Tensor]) -> None:
        """Draw the (S, O) Dice lost over the epochs that were cut; the last is that of ``cuts``."""
        for organ in cuts.organs:
            path = self.folder / "timeline" / "necessity" / f"{file_name(organ, cuts.organs)}.png"
            picture = cut_timeline(cuts, organ, epochs, lost)
            self.chart(path, loss_timeline_tag(organ), picture, epochs[-1], tells=False)

    def estimates(self, lines: list[dict[str, Any]]) -> None:
        """Write what every cut would cost, where that was estimated."""
        if not lines:
            return
        append_rows(self.folder / "estimates.csv", lines)
        points = {estimate_tag(one["organ"], one["site"]): one["estimate"] for one in lines}
        for sink in self.sinks if self.more else ():
            sink.scalars(points, lines[0]["epoch"], {})

    def estimate_course(self, course: Course, cuts: Cuts) -> None:
        """Draw the estimates of all epochs with what cuts cost at some beside them."""
        found = course.joined()
        if found is None:
            return
        figure, _ = course_figure(*found, cuts.necessity.data.attrs["cut"], cuts.vertices,
                                  cuts.marks)  # fmt: skip
        path = self.folder / "timeline" / "estimate.png"
        self.chart(path, ESTIMATE_TAG, as_picture(figure), cuts.epoch or 0)

    def end(self, history: History) -> None:
        """Write when each stage began to localise: it needs the end of the training."""
        rows = history.emergences()
        if rows:
            save_table(self.folder / ENDS, rows)

    def chart(
        self, path: Path, tag: str, picture: Picture, epoch: int, *, tells: bool = True
    ) -> None:
        """Write a picture of few colours, as a file and, if it tells much, to the loggers."""
        encoded = png(picture)
        save_bytes(path, encoded)
        for sink in self.sinks if tells or self.more else ():
            sink.chart(tag, picture, encoded, epoch)

    def epoch(self, epoch: int) -> Path:
        """The folder of an epoch's pictures."""
        return self.folder / f"epoch_{epoch:03d}"


def last_shown(reached: Mapping[str, int]) -> dict[str, int]:
    """How tags begin -> the last epoch that stands under them.

    Args:
        reached: what is written -> its last epoch, as :meth:`Writer.truncate` takes it.
    """
    rules = [name for name in reached if name not in {NUMBERS, *TAGS.values()}]
    return {tag: reached.get(kind, -1) for tag, kind in TAGS.items()} | {
        flow_group(rule): reached[rule] for rule in rules
    }
