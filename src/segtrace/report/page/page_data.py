"""The data inside the page, as plain values: what its script reads and a test can read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray

from segtrace.activation import predicted_mask, true_mask
from segtrace.attribution.flow import Status
from segtrace.measures.emergence import echo
from segtrace.measures.measure import on_page
from segtrace.progress import counted
from segtrace.report.captions import SCORES, equation, plain, rule_title
from segtrace.report.claims.claim import passed
from segtrace.report.claims.headlines import MARGIN, Headlines
from segtrace.report.claims.recognition import unseen
from segtrace.report.page.ct import ct
from segtrace.report.page.labels import numbering, shown
from segtrace.report.page.opening import CLAIMED, named_stages
from segtrace.report.page.page_epoch import Box, PageEpoch, cut, packed, text
from segtrace.report.page.sentences import (
    AIRY,
    CAUTIONS,
    LOW_COHERENCE,
    VERDICTS,
    case_names,
    outlined,
)
from segtrace.report.pictures.cells import COLOURS, PREDICTION, TRUTH
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.scene import FINAL, REASONS, REGIONS

FINEST = 64
"""Cells of a side from which on a map may be made coarser."""


@dataclass(frozen=True)
class PageData:
    """All epochs of one network on the same slices.

    Attributes:
        first: the first record: slices, stages and names are the same in all.
        crop: the box around the body.
        epochs: the epochs in order.
    """

    first: Record
    crop: Box
    epochs: Sequence[PageEpoch]

    @property
    def untrained(self) -> PageEpoch | None:
        """Epoch 0, if it is there."""
        return next((s for s in self.epochs if s.epoch == 0), None)

    @property
    def echo(self) -> NDArray[np.bool_]:
        """(S, R, O) stages that localise before anything is learned; False where not known."""
        if self.untrained is None or "mass" not in self.untrained.means:
            return np.zeros(self.epochs[0].status.shape[:3], bool)
        found: NDArray[np.bool_] = echo(self.untrained.means["mass"])
        return found

    @property
    def whole(self) -> bool:
        """Whether the Dice of the whole case is known wherever there is one of its slices."""
        return all(
            not (np.isnan(page_epoch.whole["dice"]) & ~np.isnan(page_epoch.case_dice)).any()
            for page_epoch in self.epochs
        )

    @property
    def extent(self) -> str:
        """What :meth:`organ_dice` is the Dice of."""
        if not self.whole:
            return "these volumes" if self.first.scene.planes else "these slices"
        return "the whole case" if len(set(self.first.scene.cases)) == 1 else "whole cases"

    def organ_dice(self, page_epoch: PageEpoch) -> NDArray[np.float64]:
        """(O,) mean over cases; NaN without a truth.

        Of the whole cases that slices are shown of, where every epoch knows them; else over the
        shown slices of each case.
        """
        cases = self.first.scene.cases
        once = [cases.index(case) for case in dict.fromkeys(cases)]
        dice = page_epoch.whole["dice"] if self.whole else page_epoch.case_dice
        dice = dice[:, once].astype(np.float64)
        known = ~np.isnan(dice)
        return np.where(known, dice, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)

    def headlines(self, page_epoch: PageEpoch) -> Headlines:
        """What may be claimed of an epoch's maps; of the untrained network nothing."""
        before, cases = self.untrained, self.first.scene.cases
        images = len(set(self._images)) if self.first.scene.planes else len(cases)
        kind = "volume" if self.first.scene.planes else "slice"
        case = "file" if self.first.scene.by_file else "case"
        about = f"{counted(images, kind)} of {counted(len(set(cases)), case)}"
        then = None if before is None or page_epoch.epoch == 0 else before.gains
        echo = page_epoch.gains.isel(case=0, drop=True).copy(data=self.echo)
        dice = echo.isel(site=0, rule=0, drop=True).copy(data=self.organ_dice(page_epoch))
        return Headlines(page_epoch.gains, then, echo, dice, about, self._unseen(page_epoch))

    def _unseen(self, page_epoch: PageEpoch) -> tuple[str, ...]:
        scene, organs = self.first.scene, self.first.flow.organs
        if scene.truth is None:
            return ()
        channels = {organ: scene.channels[organ] for organ in organs if organ in scene.channels}
        truth = torch.from_numpy(cut(array(scene.truth), self.crop))
        found, cases = torch.from_numpy(page_epoch.prediction), scene.cases
        if scene.planes:  # as volumes again
            first = [n for n, image in enumerate(self._images) if image not in self._images[:n]]
            found, truth = (labels.unflatten(0, (len(first), -1)) for labels in (found, truth))
            cases = tuple(cases[n] for n in first)
        return unseen(found, truth, channels, cases)

    @property
    def _images(self) -> list[tuple[str, int]]:
        """Case and number of the image that each slice, or plane, is of."""
        return list(zip(self.first.scene.cases, self.first.scene.slices, strict=True))

    def sentences(self, page_epoch: PageEpoch, found: Headlines) -> list[list[str]]:
        """By rule and organ: how well it is found, and where its maps lie."""
        flow, dice = self.first.flow, self.organ_dice(page_epoch)
        absent = (page_epoch.status[0] == Status.ABSENT).all(-1)  # rule, organ

        def said(r: int, o: int) -> str:
            rule, organ = flow.rules[r], flow.organs[o]
            name = plain(organ).capitalize()
            if absent[r, o]:
                return f"{name}: nothing to explain on these slices."
            if organ in page_epoch.missed:
                words = (
                    "Its maps explain a decision that the network makes on none of these slices."
                )
            elif page_epoch.epoch == 0:
                words = CAUTIONS["untrained"]
            else:
                words = found.of(rule, organ).words
            return f"{name}: {outlined(float(dice[o]), self.extent)}{words}"

        return [[said(r, o) for o in range(len(flow.organs))] for r in range(len(flow.rules))]

    def of_network(self, page_epoch: PageEpoch, found: Headlines) -> list[tuple[str, str]]:
        """By rule, what holds of all organs alike and of which slices all sentences speak.

        Beside it how often such sentences are made of nothing.
        """
        if page_epoch.epoch == 0:
            return [(CAUTIONS["untrained"], "")] * len(self.first.flow.rules)
        flow = self.first.flow
        common = [found.network(rule) for rule in flow.rules]
        each = [found.of(rule, organ) for rule in flow.rules for organ in flow.organs]
        end = " ".join(passed([*common, *each]))
        return [(str(claim), end) for claim in common]


def frame(page_data: PageData, page_epoch: PageEpoch, factor: int) -> dict[str, Any]:
    """One epoch: arrays packed, maps of at least :data:`FINEST` cells made coarser."""
    found = page_data.headlines(page_epoch)
    return {
        "epoch": page_epoch.epoch,
        **_evidence(page_data, page_epoch, factor),
        "dice": packed(page_epoch.dice),
        "case_dice": packed(page_epoch.case_dice),
        "whole": {name: packed(values) for name, values in page_epoch.whole.items()},
        "prediction": packed(shown(page_data.first.scene, page_epoch.prediction, predicted_mask)),
        "missed": page_epoch.missed,
        "network": page_data.of_network(page_epoch, found),
        "sentences": page_data.sentences(page_epoch, found),
        "named": named_stages(found),
        "others": [
            {
                "region": REGIONS.get(region, region),
                "means": {name: packed(values) for name, values in other.means.items()},
                "likeness": None if other.likeness is None else packed(other.likeness),
                **_evidence(page_data, other, factor),
            }
            for region, other in page_epoch.others.items()
        ],
    }


def _evidence(page_data: PageData, page_epoch: PageEpoch, factor: int) -> dict[str, Any]:
    """What depends on the region that is explained."""
    return {
        "numbers": {name: packed(values) for name, values in page_epoch.numbers.items()},
        "status": packed(page_epoch.status),
        "parts": packed(page_epoch.parts),
        "maps": {
            stage: text(page_epoch.coarser(stage, used))
            for stage, used in factors(page_data, factor).items()
        },
    }


def factors(page_data: PageData, factor: int) -> dict[str, int]:
    """By how much the maps of each stage are made coarser."""
    grids = {stage: max(maps.shape[-2:]) for stage, maps in page_data.first.flow.maps.items()}
    return {stage: factor if side >= FINEST else 1 for stage, side in grids.items()}


def common(page_data: PageData, factor: int, window: tuple[float, float]) -> dict[str, Any]:
    """What all epochs share."""
    flow, scene = page_data.first.flow, page_data.first.scene
    means = {
        name: packed(np.stack([page_epoch.means[name] for page_epoch in page_data.epochs]))
        for name in page_data.epochs[0].means
    }
    dice = [page_data.organ_dice(page_epoch) for page_epoch in page_data.epochs]
    return {
        "organs": flow.organs,
        "rules": flow.rules,
        "stages": flow.stages,
        "cases": case_names(page_data.first),
        "slices": [number for _, number in scene.planes] or scene.slices,
        "plane": scene.planes[0][0] if scene.planes else None,
        **numbering(page_data.first),
        "all_epochs": [page_epoch.epoch for page_epoch in page_data.epochs],
        "means": means,
        "measures": _charts(page_data),
        "organ_dice": packed(np.stack(dice).astype(np.float32)),
        "extent": page_data.extent,
        "echo": packed(page_data.echo.astype(np.uint8)),
        "order": _clearest_first(page_data),
        "region": REGIONS.get(page_data.first.region, page_data.first.region),
        "score": SCORES.get(flow.score, flow.score),
        "titles": [rule_title(flow, rule) for rule in flow.rules],
        "methods": {rule: equation(flow, rule) for rule in flow.rules},
        "phantom": scene.phantom,
        "sides": scene.sides_known,
        "ends": scene.ends or (("A", "P", "R", "L") if scene.sides_known else None),
        "hounsfield": scene.hounsfield_known,
        "training": scene.training,
        "by_file": scene.by_file,
        "statuses": [status.label for status in Status],
        "reasons": REASONS,
        "cautions": CAUTIONS,
        "final": FINAL,
        "averaging": [rule for rule, method in flow.methods.items() if method.averages],
        "airy": AIRY,
        "margin": MARGIN,
        "verdicts": VERDICTS,
        "low_coherence": LOW_COHERENCE,
        "factors": factors(page_data, factor),
        **_pictures(page_data, window),
    }


def _charts(page_data: PageData) -> list[dict[str, Any]]:
    """The measures that are drawn over the stages, with their words."""
    return [
        {
            "name": one.name,
            "title": one.title or plain(one.name),
            "words": one.words,
            "of_map": one.of_map,
            "averaging_only": one.averaging_only,
            "axis": one.scale,
            "dip": one.dip,
            "nothing": one.nothing,
            "caution": one.caution,
        }
        for one in on_page()
        if one.on_page == "chart" and one.name in page_data.epochs[0].numbers
    ]


def _pictures(page_data: PageData, window: tuple[float, float]) -> dict[str, Any]:
    """The slices, and how maps lie on them."""
    flow, scene = page_data.first.flow, page_data.first.scene
    # The network's input alone, of which nobody has said what 0 and 1 are, is shown as it is.
    window = window if scene.hounsfield_known or scene.originals is not None else (0.0, 1.0)
    colours = colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3]
    truth = None if scene.truth is None else cut(array(scene.truth), page_data.crop)
    return {
        "size": scene.image.shape[-2:],
        "input_channels": scene.image.shape[1],
        "crop": page_data.crop,
        "boxes": page_data.epochs[0].boxes,
        "grids": {stage: maps.shape[-2:] for stage, maps in flow.maps.items()},
        "spacing": _spacing(page_data.first),
        "window": window,
        "ct": ct(scene, page_data.crop, window),
        "truth": None if truth is None else packed(shown(scene, truth, true_mask)),
        "colours": packed((colours * 255 + 0.5).astype(np.uint8)),
        "truth_colour": TRUTH,
        "prediction_colour": PREDICTION,
    }


def _spacing(record: Record) -> list[list[float] | None]:
    """Pixel size in mm (row step, column step) of every slice, None where not known."""
    if record.scene.spacing is None:
        return [None] * len(record.scene.cases)
    return [row if all(map(np.isfinite, row)) else None for row in record.scene.spacing.tolist()]


def _clearest_first(page_data: PageData) -> list[int]:
    """Organs of whose maps something is claimed at the last epoch before the others.

    Of either the one with the highest Dice first, so that what a page opens with explains a
    decision that the network makes; last those that no slice holds.
    """
    last = page_data.epochs[-1]
    dice = np.nan_to_num(page_data.organ_dice(last), nan=-1.0)
    seen = (last.status[0, 0] != Status.ABSENT).any(1)
    says = [said for _, said in named_stages(page_data.headlines(last))[0]]
    return sorted(range(len(dice)), key=lambda o: (not seen[o], says[o] != CLAIMED, -dice[o], o))
