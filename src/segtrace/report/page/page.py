"""``index.html``: the results for a colleague, in one file that needs no server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segtrace.errors import InputError
from segtrace.report.files import environment, save_text
from segtrace.report.page.fitting import BUDGET, rendered, within_budget
from segtrace.report.page.in_planes import Shown
from segtrace.report.page.likeness import likeness
from segtrace.report.page.page_data import PageData
from segtrace.report.page.page_epoch import Measured, PageEpoch, body
from segtrace.report.page.routes import CAUTION, RouteEntry
from segtrace.report.page.sections import Section
from segtrace.report.page.sentences import fact_rows
from segtrace.report.page.whole_cases import WholeCases
from segtrace.report.record import Record

WINDOW = (-125.0, 275.0)
"""HU that the stored image maps to 0 and 1, where nothing else is said."""
VIEWS = {"axial": "index.html", "coronal": "coronal.html", "sagittal": "sagittal.html"}
"""View -> the page of a folder's results; the first alone of slices, and of volumes of which it is
not known how they lie."""


@dataclass(frozen=True)
class About:
    """What else stands on the page.

    Attributes:
        facts: what made it, as in the manifest.
        events: sentences to list; ``None`` where they were not looked for.
        routes: organ -> its route, where the network was cut.
        window: HU that the image maps to 0 and 1.
        cautions: sentences that hold for all pictures of these slices.
    """

    facts: Mapping[str, object] = field(default_factory=dict)
    events: Sequence[str] | None = None
    routes: Mapping[str, RouteEntry] = field(default_factory=dict)
    window: tuple[float, float] = WINDOW
    cautions: Sequence[str] = ()


@dataclass
class Page:
    """The page while its epochs come in; of each it keeps what it will show, and no more.

    Attributes:
        first: the first record, of volumes their planes; the others differ from it in maps, numbers
            and prediction alone.
        newest: the last one, which other regions of it are held against.
        epochs: the epochs so far.
        about: what else stands there.
        sections: of studies and explainers, below the maps or alone.
        view: which planes of volumes: axial, coronal or sagittal, where they are known.
        beside: the pages of the other views, which are filled and written with the first.
    """

    first: Record | None = None
    newest: Record | None = None
    epochs: list[PageEpoch] = field(default_factory=list)
    about: About = field(default_factory=About)
    sections: list[Section] = field(default_factory=list)
    view: int = 0
    beside: list["Page"] = field(default_factory=list)

    def add(self, measured: Measured, whole: WholeCases | None = None) -> None:
        """Take in the next epoch.

        Args:
            measured: its maps and measures.
            whole: volumes and Dice of the cases that labelled slices are of, as far as known.

        Raises:
            InputError: other slices or another network than before, or an epoch out of order.
        """
        record, shown = measured.record, Shown.by(measured.record, self.view)
        if self.first is None and self.view == 0 and record.scene.axcodes:
            self.beside = [Page(view=view) for view in range(1, len(VIEWS))]
        for page in self.beside:
            page.add(measured, whole)
        self.first = self.first or shown.record
        _check(self.first, shown.record, self.epochs)
        self.newest = record
        known = WholeCases() if whole is None or record.scene.truth is None else whole
        self.epochs.append(PageEpoch.of(measured, body(self.first.scene.image), known, shown))

    def add_region(self, measured: Measured) -> None:
        """Take in the newest epoch explained for another region, which can be chosen then.

        Args:
            measured: maps and measures of the same network on the same slices.

        Raises:
            InputError: no epoch so far, or other slices or another network.
        """
        if self.first is None or self.newest is None:
            raise InputError("no maps for a page; explain at least one checkpoint")
        for page in self.beside:
            page.add_region(measured)
        record, shown = measured.record, Shown.by(measured.record, self.view)
        _check(self.first, shown.record, [])
        newest = self.epochs[-1]
        other = replace(
            PageEpoch.of(measured, body(self.first.scene.image), seen=shown),
            likeness=likeness(record.flow, self.newest.flow)[..., shown.of],
        )
        self.epochs[-1] = replace(newest, others={**newest.others, record.region: other})

    def write(self, path: Path | str, budget: int = BUDGET) -> None:
        """Write ``index.html``: the maps with what is about them, or the sections alone.

        Of volumes of which it is known how they lie it is axial, and ``coronal.html`` and
        ``sagittal.html`` are written beside it.

        It holds slices, labels and maps: image data. It names cases as the record does, except
        where there is no ground truth: the name of such a case is a file's, which may be a
        person's, so it becomes ``image 1``. Folders are cut from all facts.

        Args:
            path: of the file.
            budget: most bytes of the file, see :func:`~segtrace.report.page.fitting.within_budget`.

        Raises:
            InputError: no epochs and no sections; no room for one of them; a file that cannot be
                written.
        """
        for page, file in zip(self.beside, [*VIEWS.values()][1:], strict=False):
            own = replace(page, about=self.about, sections=self.sections)
            own.write(Path(path).with_name(file), budget)
        about = self.about
        facts = fact_rows({**environment(), **about.facts})
        if self.first is None:
            if not self.sections:
                raise InputError("no maps for a page; explain at least one checkpoint")
            told = {"facts": facts, "cautions": list(about.cautions), "sections": self.sections}
            save_text(path, rendered("plain.html.jinja", **told))
            return
        page_data = PageData(self.first, body(self.first.scene.image), self.epochs)
        told = {
            "facts": facts,
            "events": None if about.events is None else list(about.events),
            "routes": dict(about.routes),
            "route_caution": CAUTION,
            "slice_cautions": list(about.cautions),
            "views": VIEWS if self.beside or self.view else {},
        }
        save_text(path, within_budget(page_data, told, about.window, budget, self.sections))


def _check(first: Record, record: Record, before: Sequence[PageEpoch]) -> None:
    for what, ours, theirs in (
        ("stages", first.flow.stages, record.flow.stages),
        ("rules", first.flow.rules, record.flow.rules),
        ("organs", first.flow.organs, record.flow.organs),
        ("cases", first.scene.cases, record.scene.cases),
        ("slices", first.scene.slices, record.scene.slices),
    ):
        if ours != theirs:
            raise InputError(
                f"epochs {first.epoch} and {record.epoch} have other {what} ({ours} and {theirs}); "
                "one page shows checkpoints of one run"
            )
    if not before:
        return
    earlier, later = before[-1].epoch, record.epoch
    if earlier is None or later is None:
        raise InputError("a page of several networks needs to know their epochs")
    if later <= earlier:
        raise InputError(
            f"epoch {later} comes after epoch {earlier}; one page shows checkpoints of one run, "
            "in order, each once"
        )
