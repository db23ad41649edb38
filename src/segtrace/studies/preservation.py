"""How much of a prediction is left where a map masks the image, beside masks that know less?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from torch import Tensor, stack

from segtrace.attribution.aggregate import aggregate, with_merged
from segtrace.attribution.flow import Flow
from segtrace.causal.faithfulness.preservation import NUMBERS, WAYS, preservation
from segtrace.errors import InputError
from segtrace.labelled import Dataset, rows, tensor
from segtrace.measures.over_cases import by_case
from segtrace.measures.significance import ALPHA, beyond_controls_p
from segtrace.progress import Steps, counted, step
from segtrace.report.captions import title_of
from segtrace.report.claims.claim import Claim, listed, number, told
from segtrace.report.claims.controls import control_claim
from segtrace.report.claims.recognition import left_out_words, why_not
from segtrace.report.figures.comparison import preserved_figure
from segtrace.report.figures.drawing import save_figure
from segtrace.report.page.page import Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.references import PAPER, in_words
from segtrace.report.tables import save_table
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.nuances.instances import redrawn
from segtrace.studies.slices import Closing, Maps
from segtrace.studies.study import Result, refuse_beside
from segtrace.tracking.explained import explain_probes, settled

ALONG = ("site", "rule", "organ", "slice", "way")


@dataclass(frozen=True)
class Preservation:
    """Prediction Preserved, Image Preserved, Excess and relative entropy (Mullan and Sonka 2023).

    Of the maps of every stage; and, as theirs, of those of the decoder, and of encoder and decoder,
    in one (each divided by its maximum).

    Attributes:
        draws: shuffled maps beside each; a sound map takes 6 + ``draws`` passes.
        fill: what stands where the map is 0, as the network takes it: 0 is their choice, and air
            behind a window of [0, 1].

    Raises:
        InputError: no draw.
    """

    looks_at: ClassVar[LooksAt] = "slices"
    of_one_run: ClassVar[bool] = True
    draws: int = 3
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InputError(f"draws={self.draws}; give 1 shuffled map a map or more")

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse what it would leave aside."""
        why = "maps are held against controls, network by network"
        refuse_beside(options, "study=preservation", ("log_dir",), why)

    def run(self, networks: Networks, images: Images) -> Iterator[Result]:
        """The maps of every network, and what they preserve."""
        steps = Steps(len(networks))
        for trained, within in networks:
            network = settled(trained.on(images.slices))
            steps.next(f"{trained.name}: maps of {counted(len(network.probes), 'slice')}")
            before, untrained = networks.untrained_beside(trained), None
            if before is not None:
                other = explain_probes(*before.on(network.probes), epoch=before.epoch)
                yield Maps(before, other, within / "untrained")
                untrained = _merged(other.record.flow)
            explained = explain_probes(*network, epoch=trained.epoch)
            yield Maps(trained, explained, within)
            record = explained.record
            channels = {organ: record.scene.channels[organ] for organ in record.flow.organs}
            with step(f"{trained.name}: masking the image by every map") as progress:
                found = preservation(
                    network.net,
                    _merged(record.flow),
                    network.probes.images,
                    channels,
                    cases=record.scene.cases,
                    untrained=untrained,
                    fill=self.fill,
                    draws=self.draws,
                    seed=networks.seed,
                    progress=progress,
                )
            left_out = why_not(record.scene, record.flow.prediction, record.flow.organs)
            drawn = redrawn(tuple(stage.name for stage in network.places))
            yield Preserved(found, record.scene.slices, network.probes.marks, within, left_out,
                            drawn)  # fmt: skip
            yield Closing.of(trained)


def _merged(flow: Flow) -> Flow:
    """The maps of the stages, and behind them those of the decoder and of both sides in one."""
    encoder, decoder = ([stage for stage in flow.stages if stage.startswith(side)]
                        for side in ("enc", "dec"))  # fmt: skip
    sides = {"decoder": decoder} if len(decoder) > 1 else {}
    if encoder and decoder:
        sides["encoder and decoder"] = encoder + decoder
    return with_merged(flow, {name: aggregate(flow, own, "max") for name, own in sides.items()})


@dataclass(frozen=True, eq=False)
class Preserved:
    """What the maps of a network preserve.

    Attributes:
        data: as :func:`segtrace.causal.faithfulness.preservation.preservation` returns it.
        slices: each one's index in its volume.
        marks: what the slices are not, in capitals.
        within: where it goes, below the folder of all results.
        left_out: organ -> why no test rests on it.
        drawn: stages that no test is made of, since their maps are the prediction.
    """

    data: Dataset
    slices: Sequence[int]
    marks: Sequence[str]
    within: Path
    left_out: Mapping[str, str]
    drawn: Sequence[str]

    def write(self, folder: Path) -> None:
        """``preservation.csv``: a row a stage, rule, organ, slice and way; and the figure."""
        named = self.data.assign_coords(slice=list(self.slices))
        table = rows(named, ALONG, ["case", *ALONG, *NUMBERS])
        defined = [row for row in table if row[NUMBERS[0]] == row[NUMBERS[0]]]
        save_table(folder / self.within / "preservation.csv", defined)
        if self.figure is not None:
            save_figure(folder / self.within / "figures", "preservation", *self.figure)
        print("\n".join(self.sentences))

    def show(self, page: Page) -> None:
        """A table of the means, and which maps are beyond every control."""
        caption = (
            "Means over organs and slices. Preserved: of the prediction, where the map masks the "
            "image; behind it the same of the controls: shuffled, even: maps that keep about as "
            "much of it elsewhere, or everywhere; image: the CT's own brightness; prediction: what "
            "the network predicts; other: another slice's map; untrained: the untrained network's. "
            "Every map: preservation.csv."
        )
        table = Table.of(caption, self.means)
        drawn = () if self.figure is None else (Shown(embedded(self.figure[0]), self.figure[1]),)
        heading = "What do the maps preserve of the prediction?"
        page.sections.append(Section(heading, tuple(self.sentences), drawn, (table,)))

    @cached_property
    def figure(self) -> tuple[Figure, str] | None:
        """Drawn once, for the file and the page; ``None`` where there is no sound map."""
        kept = self._kept.nanmean(2)  # (S, R, W, C), over the organs
        at = [WAYS.index(way) for way in self.ways]
        found = [(name, kept[s, r, at]) for (s, r), name in self._names.items()
                 if kept[s, r, 0].isfinite().any()]  # fmt: skip
        if not found:
            return None
        names, values = zip(*found, strict=True)
        passed = [name for name in names
                  if self.claim.numbers.get(f"p of {name}", nan) <= ALPHA]  # fmt: skip
        return preserved_figure(stack(values), names, self.ways, passed, self.marks)

    @property
    def _kept(self) -> Tensor:
        """(S, R, O, W, C) of the prediction, mean over each case's slices."""
        return by_case(tensor(self.data[NUMBERS[0]]), self.data["case"].values.tolist())

    @property
    def _names(self) -> dict[tuple[int, int], str]:
        """(stage, rule) -> the map in words."""
        sites, rules = (self.data[axis].values.tolist() for axis in ("site", "rule"))
        return {(s, r): f"{title_of(rule)} at {site}" for s, site in enumerate(sites)
                for r, rule in enumerate(rules)}  # fmt: skip

    @property
    def means(self) -> list[dict[str, Any]]:
        """A row a rule and stage of which there is a sound map."""
        found = {name: tensor(self.data[name]) for name in NUMBERS}  # (S, R, O, W, N)
        table = []
        for r, rule in enumerate(self.data["rule"].values.tolist()):
            for s, site in enumerate(self.data["site"].values.tolist()):
                kept = [found[NUMBERS[0]][s, r, :, w] for w in range(len(self.ways))]
                if (maps := int(kept[0].isfinite().sum())) == 0:
                    continue
                own = {name: float(found[name][s, r, :, 0].nanmean()) for name in NUMBERS[1:]}
                means = (float(one.nanmean()) for one in kept)
                preserved = dict(zip(("preserved", *self.ways[1:]), means, strict=True))
                table.append({"rule": title_of(rule), "stage": site, **preserved,
                              "kept of the image": own["image_preserved"],
                              "excess": own["excess"], "entropy": own["relative_entropy"],
                              "maps": maps})  # fmt: skip
        return table

    @property
    def ways(self) -> list[str]:
        """The map and the controls that there are."""
        known = ~self.data[NUMBERS[0]].isnull().all([*{*ALONG} - {"way"}])
        return [way for way in WAYS if way == "map" or bool(known.sel(way=way))]

    @property
    def sentences(self) -> list[str]:
        """How to read them, and which maps are beyond every control."""
        said = (
            "Mullan and Sonka 2023: the image is multiplied by the map, and the organ's "
            "probability compared. A map that keeps everything preserves everything: read each "
            "number beside those of its controls. The same map shuffled, and an even one, tear the "
            "image or dim it, so that any connected mask beats them; hence the image's brightness, "
            "the prediction itself, another slice's map and the untrained network's stand there, "
            "too. "
            f"{in_words([PAPER, 'mullan2023'])}"
        )
        return [said, *told([self.claim]), *self._brightness, *self._by_construction,
                *left_out_words(self.left_out)]  # fmt: skip

    @property
    def _by_construction(self) -> list[str]:
        there = [site for site in self.data["site"].values.tolist() if site in self.drawn]
        if not there:
            return []
        return [
            f"By construction, no finding: a map at {listed(there)} is the prediction drawn anew, "
            "so that it is not tested."
        ]

    @property
    def _brightness(self) -> list[str]:
        """Of how many maps the image's own brightness preserves more, where there are any."""
        means = self.means
        less = [row for row in means if row["image"] > row["preserved"]]
        if not less:
            return []
        best = max(row["preserved"] for row in means)
        return [
            "The CT's own brightness, which no explaining gave, preserves more of the prediction "
            f"than {len(less)} of {counted(len(means), 'map')} (mean over organs and slices "
            f"{number(max(row['image'] for row in means))}, of the best map {number(best)}; no "
            "test)."
        ]

    @cached_property
    def claim(self) -> Claim:
        """Which rules and stages have maps that preserve more than every control."""
        sites, organs = (
            [name for name in self.data[axis].values.tolist() if name not in without]
            for axis, without in (("site", self.drawn), ("organ", self.left_out))
        )
        kept = tensor(self.data[NUMBERS[0]].sel(site=sites, organ=organs))  # (S, R, O, W, N)
        cases = self.data["case"].values.tolist()
        each = by_case(kept[..., :1, :] - kept[..., 1:, :], cases).nanmean(2)  # over the organs
        names = [f"{title_of(rule)} at {site}" for site in sites
                 for rule in self.data["rule"].values.tolist()]  # fmt: skip
        controls = ", ".join(self.ways[1:])
        return control_claim(
            "preservation",
            f"More of the prediction than by every control ({controls}) is preserved by",
            names,
            beyond_controls_p(each.flatten(0, 1)),
            each.shape[-1],
            f"{counted(len(cases), 'slice')} of {counted(each.shape[-1], 'case')}",
        )
