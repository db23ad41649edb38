"""What every epoch left behind in numbers, and what can only be read from many epochs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.rules import by_name
from segtrace.errors import InputError
from segtrace.measures.change import contrast, refinement
from segtrace.measures.emergence import Emergence, echo, emergence, over_seeds
from segtrace.measures.leakage import Leakage
from segtrace.measures.localisation import over_slices, readable, terms
from segtrace.measures.measure import followed, table
from segtrace.measures.over_cases import over_cases
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.charts import timeline_picture
from segtrace.report.pictures.overview import Course
from segtrace.report.pictures.view import array
from segtrace.report.scene import FINAL, REGIONS
from segtrace.report.tensorboard import Block, leading
from segtrace.tracking.explained import Explained

COUNT = "n_valid"
"""Beside the measures: how many slices have a map that could be judged."""


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
    """The numbers of the epochs of one run. S stages, R rules, O organs.

    Attributes:
        epochs: finished passes, rising.
        means: measure -> one (S, R, O) an epoch, over the probes, for those of
            :func:`~segtrace.measures.measure.followed` that the first epoch has; ``n_valid``
            counts the probes.
        gains: an epoch each, the gain over cases, a case's own being its ratio of sums: ``mean``,
            ``low``, ``high``, ``cases``, (S, R, O) each; see :mod:`segtrace.measures.over_cases`.
        dice: organ -> validation Dice an epoch; NaN where not known.
        missed: the organs that the network finds on none of the slices, an epoch each.
        largest: (S, R, O) the untrained network's largest gain on a single slice.
        leak: the untrained network's leakage.
        facts: what stands on every picture.
    """

    epochs: list[int] = field(default_factory=list)
    stages: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    organs: tuple[str, ...] = ()
    means: dict[str, list[Tensor]] = field(default_factory=dict)
    gains: list[dict[str, Tensor]] = field(default_factory=list)
    dice: list[dict[str, float]] = field(default_factory=list)
    missed: list[tuple[str, ...]] = field(default_factory=list)
    largest: Tensor | None = None
    leak: Leakage | None = None
    facts: str = ""

    def add(self, explained: Explained, dice: Mapping[str, float]) -> None:
        """Append an epoch; the first one decides what the run is about.

        Raises:
            InputError: other stages, rules or organs than before.
        """
        flow = explained.record.flow
        values = readable(explained.values, flow.status)
        if not self.epochs:
            self.stages, self.rules, self.organs = flow.stages, flow.rules, flow.organs
            self.facts = _facts(explained)
            self.means = {one.name: [] for one in followed(values)}
        self._check(explained)
        self.epochs.append(explained.record.epoch or 0)
        means = over_slices(values)
        for name in (*self.measures, COUNT):
            self.means.setdefault(name, []).append(means[name])
        above, room = terms(values)
        self.gains.append(asdict(over_cases(above, explained.record.scene.cases, room)))
        self.dice.append({organ: float(dice.get(organ, torch.nan)) for organ in flow.organs})
        self.missed.append(tuple(filter(explained.record.missed, flow.organs)))
        if self.epochs[-1] == 0:
            self.largest = values["gain"].nan_to_num(nan=-torch.inf).amax(-1)

    def _check(self, explained: Explained) -> None:
        for what in ("stages", "rules", "organs"):
            ours, theirs = getattr(self, what), getattr(explained.record.flow, what)
            if ours != theirs:
                raise InputError(
                    f"epoch {explained.record.epoch} has the {what} {', '.join(theirs)}, those "
                    f"before it {', '.join(ours)}; one timeline needs the same {what}"
                )
        for name in self.measures:
            if name not in explained.values:
                raise InputError(
                    f"epoch {explained.record.epoch} has no {name}, which those before it have; "
                    "one timeline needs the same measures"
                )

    @property
    def measures(self) -> list[str]:
        """Names of the measures that are kept, in the order of timeline.csv."""
        return [name for name in self.means if name != COUNT]

    @property
    def untrained(self) -> dict[str, Tensor] | None:
        """Measure -> (S, R, O) at epoch 0; ``None`` where the history begins later."""
        if not self.epochs or self.epochs[0] != 0:
            return None
        return {name: values[0] for name, values in self.means.items()}

    @property
    def echo(self) -> Tensor:
        """(S, R, O) bool: the untrained map already lies in its own region."""
        if self.untrained is None:
            return torch.zeros(len(self.stages), len(self.rules), len(self.organs)).bool()
        return echo(self.untrained)

    def rows(self) -> list[dict[str, Any]]:
        """The newest epoch: one row a rule, organ and stage, beside the untrained network's.

        ``gain`` is the ratio of sums over all slices. ``gain_over_cases`` is the mean of what each
        case has of its own, and ``gain_low`` and ``gain_high`` are the ends of its 95 % t interval
        over ``cases`` cases.
        """
        now = {name: values[-1].tolist() for name, values in self.means.items()}
        own = {name: values.tolist() for name, values in self.gains[-1].items()}
        echoes = self.echo.tolist()
        nan = torch.full_like(self.means["gain"][-1], torch.nan)
        then = self.untrained or dict.fromkeys(self.measures, nan)
        start = {name: then[name].tolist() for name in self.measures}
        return [
            {
                "epoch": self.epochs[-1],
                "rule": rule,
                "organ": organ,
                "stage": stage,
                **{name: now[name][s][r][o] for name in self.measures},
                **{f"{name}_untrained": start[name][s][r][o] for name in self.measures},
                "gain_over_cases": own["mean"][s][r][o],
                "gain_low": own["low"][s][r][o],
                "gain_high": own["high"][s][r][o],
                "cases": own["cases"][s][r][o],
                "echo": echoes[s][r][o],
                "n_valid": now[COUNT][s][r][o],
            }
            for r, rule in enumerate(self.rules)
            for o, organ in enumerate(self.organs)
            for s, stage in enumerate(self.stages)
        ]

    def depth_rows(self) -> list[dict[str, Any]]:
        """The newest epoch: one row a rule and organ, the gain along the depth in two numbers."""
        gain = self.means["gain"][-1]
        rising, gap = refinement(gain, self.stages).tolist(), contrast(gain, self.stages).tolist()
        return [
            {
                "epoch": self.epochs[-1],
                "rule": rule,
                "organ": organ,
                "dice": self.dice[-1][organ],
                "refinement": rising[r][o],
                "contrast": gap[r][o],
            }
            for r, rule in enumerate(self.rules)
            for o, organ in enumerate(self.organs)
        ]

    def emergences(self) -> list[dict[str, Any]]:
        """One row a rule, organ and stage; empty without the untrained network."""
        if self.untrained is None:
            return []
        return [
            self._emergence_row(s, r, o)
            for r in range(len(self.rules))
            for o in range(len(self.organs))
            for s in range(len(self.stages))
        ]

    def _emergence_row(self, s: int, r: int, o: int) -> dict[str, Any]:
        organ = self.organs[o]
        found = self._emergence(s, r, o)
        return {
            "rule": self.rules[r],
            "organ": organ,
            "stage": self.stages[s],
            "answer": found.answer,
            "epoch": found.epoch,
            "dice_epoch": found.dice_epoch,
            "lag": found.lag,
            "echo": bool(self.echo[s, r, o]),
            "last_epoch": self.epochs[-1],
            "words": over_seeds([found]),
        }

    def _emergence(self, s: int, r: int, o: int) -> Emergence:
        bar = torch.nan if self.largest is None else float(self.largest[s, r, o])
        return emergence(
            self.epochs,
            [float(gain[s, r, o]) for gain in self.means["gain"]],
            bar,
            [dice[self.organs[o]] for dice in self.dice],
        )

    def course(self, loss: Mapping[int, float]) -> Course:
        """What the overview of the newest epoch shows, by the paper's rule."""
        r = self.rules.index(leading(self.rules))
        first = self.epochs[0] == 0 and len(self.epochs) > 1
        return Course(
            epochs=self.epochs,
            dice={organ: [known[organ] for known in self.dice] for organ in self.organs},
            gain=array(self.means["gain"][-1][:, r]),
            untrained=array(self.means["gain"][0][:, r]) if first else None,
            loss=loss,
        )

    def picture(self, measure: str, rule: str, organ: str) -> Picture:
        """A measure over stages and epochs; echoes and the redrawn prediction are marked."""
        r, o = self.rules.index(rule), self.organs.index(organ)
        curves = torch.stack([values[:, r, o] for values in self.means[measure]], 1)  # (S, E)
        low, high = self._limits(measure, r)
        caption = f"{organ}  ·  {measure}  ·  {rule}\n{self.facts}"
        missed = organ in self.missed[-1]
        names = [self._name(stage, bool(self.echo[s, r, o]), missed)
                 for s, stage in enumerate(self.stages)]  # fmt: skip
        return timeline_picture(curves, names, self.epochs, caption, vmin=low, vmax=high)

    def _name(self, stage: str, echoes: bool, missed: bool) -> str:
        final = "organ not found" if missed else "prediction redrawn"
        marks = [final] * (stage == FINAL) + ["echo"] * echoes
        return f"{stage} ({', '.join(marks)})" if marks else stage

    def _limits(self, measure: str, r: int) -> tuple[float, float]:
        """Ends of the colours, the same for all organs of a rule."""
        scale = table()[measure].scale
        if scale is not None:
            return scale
        whole = torch.stack(self.means[measure])[:, :, r]
        known = whole[whole.isfinite()]
        if not known.numel():
            return 0.0, 1.0
        return float(known.min().floor()), float(max(known.max().ceil(), known.min().floor() + 1))

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"leak": None if self.leak is None else asdict(self.leak)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "History":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that are not those of its epochs, stages, rules and organs.
        """
        leak = plain["leak"]
        found = cls(**{**plain, "leak": None if leak is None else Leakage(**leak)})
        shape = (len(found.stages), len(found.rules), len(found.organs))
        counts = {len(values) for values in found.means.values()}
        counts |= {len(found.gains), len(found.dice), len(found.missed)}
        shapes = {tuple(tensor.shape) for values in found.means.values() for tensor in values}
        if not counts <= {len(found.epochs)} or not shapes <= {shape}:
            raise InputError("a history whose numbers are not those of its epochs; begin anew")
        return found


def _facts(explained: Explained) -> str:
    record = explained.record
    region = REGIONS.get(record.region, record.region)
    phantom = "; PHANTOM" if record.scene.phantom else ""
    slices = len(record.scene.cases)
    cases = len(set(record.scene.cases))
    return (
        f"over {slices} slices of {cases} {'case' if cases == 1 else 'cases'}; region: {region}; "
        f"score: {record.flow.score}; epoch 0 is untrained; one run{phantom}"
    )
