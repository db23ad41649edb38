"""What every epoch left behind in numbers, and what can only be read from many epochs."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import xarray as xr

from segtrace.attribution.rules import by_name
from segtrace.errors import InputError
from segtrace.labelled import names_along, rows, tensor
from segtrace.measures.change import contrast, refinement
from segtrace.measures.emergence import echo, emergence
from segtrace.measures.leakage import Leakage
from segtrace.measures.localisation import AXES, over_slices, readable, terms
from segtrace.measures.measure import followed, table
from segtrace.measures.over_cases import over_cases
from segtrace.progress import counted
from segtrace.report.captions import title_of, titled
from segtrace.report.claims.emergence import when
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import timeline_picture
from segtrace.report.pictures.overview import Course
from segtrace.report.scene import FINAL, REGIONS
from segtrace.report.tensorboard import Block, leading
from segtrace.tracking.explained import Explained

COUNT = "n_valid"
"""Beside the measures: how many slices have a map that could be judged."""
OVER_CASES = {"gain_over_cases": "mean", "gain_low": "low", "gain_high": "high", "cases": "cases"}
"""The gain over cases, see :mod:`segtrace.measures.over_cases` -> what it is there."""
OF_ORGANS = ("dice", "missed")
ALONG = ("rule", "organ", "stage")
"""The rows of timeline.csv, the last running fastest."""


def _empty() -> xr.Dataset:
    return xr.Dataset(coords={"epoch": [], **{axis: [] for axis in AXES[:-1]}})


def averaging(rules: Sequence[str]) -> list[str]:
    """The rules that average the gradient, which its coherence qualifies."""
    known = by_name(rules)
    return [rule for rule in rules if rule not in known or known[rule].averages]


def charts(rules: Sequence[str], kept: Collection[str] | None = None) -> list[Block]:
    """(measure, rule) pairs worth a chart of scalars, the most telling first.

    Args:
        rules: that are explained.
        kept: the measures that there are numbers of; ``None`` for all of the table.
    """
    return [
        (one.name, rule)
        for one in followed(kept)
        for rule in (averaging(rules) if one.averaging_only else rules)
    ]


def timelines(rules: Sequence[str], kept: Collection[str] | None = None) -> list[Block]:
    """Those of :func:`charts` that are also drawn over the epochs."""
    known = table()
    return [block for block in charts(rules, kept) if known[block[0]].timeline]


@dataclass
class History:
    """The numbers of the epochs of one run.

    Attributes:
        data: axes ``epoch`` (finished passes, rising), ``site``, ``rule`` and ``organ``; empty
            before the first epoch. The means over the probes of those measures of
            :func:`~segtrace.measures.measure.followed` that the first epoch has; ``n_valid``, the
            number of probes whose map could be judged; the gain over cases, a case's own being its
            ratio of sums, and its interval (:data:`OVER_CASES`). Of an epoch and organ: ``dice``,
            of the validation, NaN where not known; ``missed``, whether the network finds the organ
            on none of the slices.
        largest: the untrained network's largest gain on a single slice, of each site, rule and
            organ; ``None`` where it is not known.
        leak: the untrained network's leakage.
        facts: what stands on every picture.
    """

    data: xr.Dataset = field(default_factory=_empty)
    largest: xr.DataArray | None = None
    leak: Leakage | None = None
    facts: str = ""

    def add(self, explained: Explained, dice: Mapping[str, float]) -> None:
        """Append an epoch; the first one decides what the run is about.

        Raises:
            InputError: other stages, rules or organs than before.
        """
        record, measured = explained.record, readable(explained.measures)
        names, first = self.measures, not self.epochs
        if first:
            names = [one.name for one in followed([*map(str, measured)])]
        else:
            self._check(measured, record.epoch)
        above, room = terms(measured)
        over = over_cases(above, record.scene.cases, room)
        organs = names_along(measured, "organ")
        now = over_slices(measured)[[*names, COUNT]].drop_vars("region")
        gains = {name: (AXES[:-1], getattr(over, part)) for name, part in OVER_CASES.items()}
        now = now.assign(gains).assign(
            dice=("organ", [float(dice.get(organ, math.nan)) for organ in organs]),
            missed=("organ", [record.missed(organ) for organ in organs]),
        )
        now = now.assign_coords(epoch=record.epoch or 0).expand_dims("epoch")
        self.data = now if first else xr.concat([self.data, now], "epoch", join="exact")
        if first:
            self.facts = _facts(explained)
        if self.epochs[-1] == 0:
            self.largest = measured["gain"].fillna(-math.inf).max("slice")

    def _check(self, measured: xr.Dataset, epoch: int | None) -> None:
        for axis, what in (("site", "stages"), ("rule", "rules"), ("organ", "organs")):
            ours, theirs = names_along(self.data, axis), names_along(measured, axis)
            if ours != theirs:
                raise InputError(
                    f"epoch {epoch} has the {what} {', '.join(theirs)}, those before it "
                    f"{', '.join(ours)}; one timeline needs the same {what}"
                )
        for name in self.measures:
            if name not in measured:
                raise InputError(
                    f"epoch {epoch} has no {name}, which those before it have; one timeline needs "
                    "the same measures"
                )

    @property
    def epochs(self) -> list[int]:
        """Finished passes, rising."""
        return names_along(self.data, "epoch")

    @property
    def stages(self) -> list[str]:
        """Names of the stages, from the image on."""
        return names_along(self.data, "site")

    @property
    def rules(self) -> list[str]:
        """Names of the rules."""
        return names_along(self.data, "rule")

    @property
    def organs(self) -> list[str]:
        """Names of the organs."""
        return names_along(self.data, "organ")

    @property
    def measures(self) -> list[str]:
        """Names of the measures that are kept, in the order of timeline.csv."""
        return [str(name) for name in self.data if name not in (COUNT, *OVER_CASES, *OF_ORGANS)]

    @property
    def newest(self) -> xr.Dataset:
        """The numbers of the last epoch."""
        return self.data.isel(epoch=-1)

    @property
    def untrained(self) -> xr.Dataset | None:
        """The numbers of epoch 0; ``None`` where the history begins later."""
        return self.data.isel(epoch=0, drop=True) if self.epochs[:1] == [0] else None

    @property
    def echo(self) -> xr.DataArray:
        """Bool, for each site, rule and organ: the untrained map already lies in its own region."""
        if self.untrained is None:
            return xr.zeros_like(self.newest["mass"], dtype=bool)
        return echo(self.untrained["mass"])

    def rows(self) -> list[dict[str, Any]]:
        """The newest epoch: one row a rule, organ and stage, beside the untrained network's.

        ``gain`` is the ratio of sums over all slices. ``gain_over_cases`` is the mean of what each
        case has of its own, and ``gain_low`` and ``gain_high`` are the ends of its 95 % t interval
        over ``cases`` cases.
        """
        now, names = self.newest, self.measures
        then = now[names] * math.nan if self.untrained is None else self.untrained[names]
        then = then.rename({name: f"{name}_untrained" for name in names})
        shown = now.assign({**then, "echo": self.echo}).rename(site="stage")
        return rows(shown, ALONG, ["epoch", *ALONG, *names, *then, *OVER_CASES, "echo", COUNT])

    def depth_rows(self) -> list[dict[str, Any]]:
        """The newest epoch: one row a rule and organ, the gain along the depth in two numbers."""
        gain, axes = tensor(self.newest["gain"]), AXES[1:-1]
        found = self.newest.assign(
            refinement=(axes, refinement(gain, self.stages)),
            contrast=(axes, contrast(gain, self.stages)),
        )
        return rows(found, axes, ("epoch", *axes, "dice", "refinement", "contrast"))

    def emergences(self) -> list[dict[str, Any]]:
        """One row a rule, organ and stage but the head; empty without the untrained network."""
        if self.untrained is None:
            return []
        largest = math.nan if self.largest is None else self.largest
        known = self.echo.to_dataset(name="echo").assign(largest=largest).rename(site="stage")
        entries = rows(known, ALONG, (*ALONG, "largest", "echo"))
        curves = self.data["gain"].transpose("rule", "organ", "site", "epoch").values
        gains = curves.reshape(len(entries), -1).tolist()
        over_epochs = self.data["dice"].transpose("organ", "epoch").values.tolist()
        dice = dict(zip(self.organs, over_epochs, strict=True))
        head = {_of_map(entry): gain for entry, gain in zip(entries, gains, strict=True)
                if entry["stage"] == FINAL}  # fmt: skip
        return [
            self._emergence(entry, gain, dice[entry["organ"]], head.get(_of_map(entry)))
            for entry, gain in zip(entries, gains, strict=True)
            if entry["stage"] != FINAL
        ]

    def _emergence(
        self,
        entry: dict[str, Any],
        gain: list[float],
        dice: list[float],
        head: list[float] | None,
    ) -> dict[str, Any]:
        largest, echo = entry.pop("largest"), entry.pop("echo")
        found = emergence(self.epochs, gain, largest, dice, head)
        return entry | {
            "answer": found.answer,
            "epoch": found.epoch,
            "dice_epoch": found.dice_epoch,
            "head_epoch": found.head_epoch,
            "lag": found.lag,
            "echo": echo,
            "last_epoch": self.epochs[-1],
            "words": when([found]),
        }

    def course(self, loss: Mapping[int, float]) -> Course:
        """What the overview of the newest epoch shows, by the paper's rule."""
        gain = self.data["gain"].sel(rule=leading(self.rules)).transpose("epoch", "site", "organ")
        begun = self.epochs[0] == 0 and len(self.epochs) > 1
        return Course(
            epochs=self.epochs,
            dice={o: self.data["dice"].sel(organ=o).values.tolist() for o in self.organs},
            gain=gain.values[-1],
            untrained=gain.values[0] if begun else None,
            loss=loss,
        )

    def picture(self, measure: str, rule: str, organ: str) -> Picture:
        """A measure over stages and epochs; echoes and the redrawn prediction are marked."""
        curves = tensor(self.data[measure].sel(rule=rule, organ=organ).transpose("site", "epoch"))
        low, high = self._limits(measure, rule)
        caption = f"{titled(organ)}  ·  {measure}  ·  {title_of(rule)}\n{self.facts}"
        names = self._marked(rule, organ)
        return timeline_picture(curves, names, self.epochs, caption, vmin=low, vmax=high)

    def _marked(self, rule: str, organ: str) -> list[str]:
        """The stages, and what must be said of them."""
        missed = bool(self.newest["missed"].sel(organ=organ))
        final = "organ not found" if missed else "prediction redrawn"
        echoes = self.echo.sel(rule=rule, organ=organ).values.tolist()
        marks = {stage: [final] * (stage == FINAL) + ["echo"] * echo
                 for stage, echo in zip(self.stages, echoes, strict=True)}  # fmt: skip
        return [f"{stage} ({', '.join(of)})" if of else stage for stage, of in marks.items()]

    def _limits(self, measure: str, rule: str) -> tuple[float, float]:
        """Ends of the colours, the same for all organs of a rule."""
        scale = table()[measure].scale
        if scale is not None:
            return scale
        whole = tensor(self.data[measure].sel(rule=rule))
        known = whole[whole.isfinite()]
        if not known.numel():
            return 0.0, 1.0
        return float(known.min().floor()), float(max(known.max().ceil(), known.min().floor() + 1))

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        each = [self.data.isel(epoch=e) for e in range(len(self.epochs))]
        means = (*self.measures, COUNT) if each else ()
        return {
            "epochs": self.epochs,
            "stages": tuple(self.stages),
            "rules": tuple(self.rules),
            "organs": tuple(self.organs),
            "means": {name: [tensor(one[name]) for one in each] for name in means},
            "gains": [{part: tensor(one[name]) for name, part in OVER_CASES.items()}
                      for one in each],
            "dice": [dict(zip(self.organs, one["dice"].values.tolist(), strict=True))
                     for one in each],
            "missed": [tuple(names_along(one.isel(organ=one["missed"]), "organ")) for one in each],
            "largest": None if self.largest is None else tensor(self.largest),
            "leak": None if self.leak is None else self.leak.to_plain(),
            "facts": self.facts,
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "History":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that are not those of its epochs, stages, rules and organs.
        """
        if more := plain.keys() - cls().to_plain().keys():
            raise InputError(
                f"a history that holds {min(more)!r}, which this version does not know; go on with "
                "the version that wrote it"
            )
        leak, largest = plain["leak"], plain["largest"]
        names = dict(zip(AXES, (plain[key] for key in ("stages", "rules", "organs")), strict=False))
        coords = {axis: list(known) for axis, known in names.items()}
        try:
            data = _data(plain, coords) if plain["epochs"] else _empty()
            most = None if largest is None else xr.DataArray(largest, coords, AXES[:-1])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(
                "a history whose numbers are not those of its epochs; begin anew"
            ) from None
        return cls(data, most, None if leak is None else Leakage.from_plain(leak), plain["facts"])


def _of_map(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["rule"], entry["organ"]


def _data(plain: Mapping[str, Any], coords: Mapping[str, list[str]]) -> xr.Dataset:
    """The numbers of a plain history."""
    epochs, organs = {"epoch": list(plain["epochs"])}, coords["organ"]
    means = {name: torch.stack(each) for name, each in plain["means"].items()}
    gains = {name: torch.stack([one[part] for one in plain["gains"]])
             for name, part in OVER_CASES.items()}  # fmt: skip
    numbers = {name: (("epoch", *AXES[:-1]), each) for name, each in (means | gains).items()}
    of_organs = {
        "dice": [[one[organ] for organ in organs] for one in plain["dice"]],
        "missed": [[organ in missed for organ in organs] for missed in plain["missed"]],
    }
    named = {name: (("epoch", "organ"), values) for name, values in of_organs.items()}
    return xr.Dataset(numbers | named, {**epochs, **coords})


def _facts(explained: Explained) -> str:
    record = explained.record
    region = REGIONS.get(record.region, record.region)
    phantom = "; PHANTOM" if record.scene.phantom else ""
    slices = len(record.scene.cases)
    cases = len(set(record.scene.cases))
    return (
        f"over {counted(slices, 'slice')} of {counted(cases, 'case')}; region: {region}; "
        f"score: {record.flow.score}; epoch 0 is untrained; one run{phantom}"
    )
