"""The cuts of a training, told while it runs or from its checkpoints: the same words."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segtrace.names import file_name
from segtrace.report.figures.route import as_picture
from segtrace.report.files import save_text
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import timeline_picture
from segtrace.report.tables import append_rows
from segtrace.report.tensorboard import (
    NECESSITY_TAG,
    ROUTES_TAG,
    add_text,
    loss_timeline_tag,
    route_tag,
)
from segtrace.tracking.cut_pictures import route_of, table_figure
from segtrace.tracking.cut_tables import necessity_rows, route_rows, slice_rows
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.pace import CUTS, Pace
from segtrace.tracking.sink import Sink


class CutCourse:
    """What cuts cost at the epochs so far.

    Args:
        every: epochs between two cuts; ``None`` for never. The first epoch and the last are cut.

    Attributes:
        untrained: the cuts of epoch 0, which stand beside all others.
        epochs: those that were cut, rising.
        lost: (S, O) Dice lost at each of them.
    """

    def __init__(self, every: int | None) -> None:
        self.pace = None if every is None else Pace({CUTS: every})
        self.untrained: Cuts | None = None
        self.epochs: list[int] = []
        self.lost: list[Tensor] = []

    def due(self, epoch: int, final: bool) -> bool:
        """Whether to cut now; then it counts as done."""
        return self.pace is not None and self.pace.due(CUTS, epoch, final)

    def tell(self, sink: Sink, cuts: Cuts) -> None:
        """Add an epoch: its rows, its pictures, its sentences.

        Written: ``necessity.csv`` (a row a site and organ), ``necessity_slices.csv`` (and slice),
        ``route.csv``; ``epoch_010/necessity.png``, ``epoch_010/route/{organ}.png`` and
        ``epoch_010/route/sentences.txt``; ``timeline/necessity/{organ}.png``.
        """
        epoch = cuts.epoch or 0
        if epoch == 0:
            self.untrained = cuts
        if not self.epochs and cuts.left_out:
            print(f"On none of the probes, so not cut: {', '.join(cuts.left_out)}.")
        self.epochs.append(epoch)
        self.lost.append(cuts.necessity.mean())
        before = self.untrained if epoch > 0 else None
        append_rows(sink.folder / "necessity.csv", necessity_rows(cuts, before))
        append_rows(sink.folder / "necessity_slices.csv", slice_rows(cuts))
        folder = sink.epoch(epoch)
        sink.chart(
            folder / "necessity.png", NECESSITY_TAG, as_picture(table_figure(cuts)[0]), epoch
        )
        for o, organ in enumerate(cuts.organs):
            name = f"{file_name(organ, cuts.organs)}.png"
            path = sink.folder / "timeline" / "necessity" / name
            sink.chart(path, loss_timeline_tag(organ), self._timeline(cuts, o), epoch)
        if cuts.route is None:
            return
        append_rows(sink.folder / "route.csv", route_rows(cuts, before))
        for organ in cuts.organs:
            path = folder / "route" / f"{file_name(organ, cuts.organs)}.png"
            picture = as_picture(route_of(cuts, before, organ)[0])
            sink.chart(path, route_tag(organ), picture, epoch)
        text = "\n\n".join(f"* {words}" for words in cuts.sentences().values()) + "\n"
        save_text(folder / "route" / "sentences.txt", text)
        if sink.writer is not None:
            add_text(sink.writer, ROUTES_TAG, text, epoch)

    def _timeline(self, cuts: Cuts, o: int) -> Picture:
        """The Dice lost by every cut over the epochs so far."""
        found = cuts.necessity
        facts = "  ·  ".join([f"cut: {found.cut}; epoch 0 is untrained; one run", *cuts.marks])
        caption = f"{found.organs[o]}  ·  Dice lost when a stage or edge is cut\n{facts}"
        values = torch.stack([lost[:, o] for lost in self.lost], 1)
        return timeline_picture(values, found.sites, self.epochs, caption)

    @property
    def reached(self) -> dict[str, int]:
        """The last epoch that was cut; see :meth:`Sink.forget`."""
        return {CUTS: self.epochs[-1]} if self.epochs else {}

    def to_plain(self) -> dict[str, Any]:
        """What a resumed run needs to go on: plain values and tensors."""
        return {
            "untrained": None if self.untrained is None else self.untrained.to_plain(),
            "epochs": list(self.epochs),
            "lost": list(self.lost),
            "done": {} if self.pace is None else self.pace.last,
        }

    def go_on(self, plain: Mapping[str, Any]) -> None:
        """Take up what :meth:`to_plain` gave."""
        before = plain["untrained"]
        self.untrained = None if before is None else Cuts.from_plain(before)
        self.epochs, self.lost = list(plain["epochs"]), list(plain["lost"])
        if self.pace is not None:
            self.pace.last = dict(plain["done"])
