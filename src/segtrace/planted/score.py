"""What a rule's maps of planted evidence are worth: one score a stage, and the table of all."""

from dataclasses import asdict, dataclass
from typing import Any

from segtrace.measures.over_cases import COVERAGE, in_words

REFUSED = "refused"

Interval = tuple[float, float]


@dataclass(frozen=True)
class StageScore:
    """What one stage's maps show. Means over cases, and their 95 % t intervals.

    An interval is NaN below 3 cases and where all cases are alike, see
    :mod:`segtrace.measures.over_cases`.

    Attributes:
        stage: its name.
        verdict: ``supported``: the class lies at the mark and the map names it. ``not supported
            here``: one of the two without the other. ``nothing to find``: neither; what the mark
            said has moved on. ``too few cases``; ``refused``, see :attr:`PlantedScore.reason`.
        held: part of the class margin that lies at the mark, in this stage.
        held_interval: of ``held``.
        gain: of the maps on the mark: 0 is a uniform map, 1 the best this grid can show.
        gain_interval: of ``gain``.
        decoy: gain on the decoy.
        beyond_decoy: interval of the difference, slice by slice.
        untrained: gain, on the mark, of the untrained network's maps; NaN without.
        beyond_untrained: interval of the difference.
        slices: number of slices whose map can be read.
        cases: number of cases they are of.
    """

    stage: str
    verdict: str
    held: float
    held_interval: Interval
    gain: float
    gain_interval: Interval
    decoy: float
    beyond_decoy: Interval
    untrained: float
    beyond_untrained: Interval
    slices: int
    cases: int

    def row(self) -> dict[str, Any]:
        """Plain values for a CSV; an interval becomes two columns."""
        row: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, tuple):
                row |= dict(zip((f"{name}_low", f"{name}_high"), value, strict=True))
            else:
                row[name] = value
        return row


@dataclass(frozen=True)
class PlantedScore:
    """A rule's marks on one trained network.

    Attributes:
        rule: its name.
        task: see :mod:`segtrace.planted.images`.
        seed: of the images.
        epoch: finished passes of the network.
        dice: of the network on these slices.
        reason: why no verdict is given; empty where it is.
        stages: one score a stage, in the network's order.
    """

    rule: str
    task: str
    seed: int
    epoch: int
    dice: float
    reason: str
    stages: tuple[StageScore, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row a stage, for a CSV."""
        shared = {name: getattr(self, name) for name in ("rule", "task", "seed", "epoch", "dice")}
        return [shared | stage.row() for stage in self.stages]

    def __str__(self) -> str:
        lines = [
            f"{self.rule} on planted evidence, task {self.task}, seed {self.seed}, "
            f"epoch {self.epoch}: Dice {self.dice:.3f}",
            f"{'stage':<6} {'held':>6}  {'gain':>6}  {'95 % t interval':^24}  {'decoy':>6}  "
            f"{'untrained':>9}  {'slices':>6}  {'cases':>5}  verdict",
        ]
        for s in self.stages:
            ends = in_words(*s.gain_interval, s.cases)
            lines.append(
                f"{s.stage:<6} {s.held:6.2f}  {s.gain:6.2f}  {ends:^24}  {s.decoy:6.2f}  "
                f"{s.untrained:9.2f}  {s.slices:6d}  {s.cases:5d}  {s.verdict}"
            )
        lines.append(COVERAGE)
        return "\n".join(lines + [f"No verdict: {self.reason}."] * bool(self.reason))
