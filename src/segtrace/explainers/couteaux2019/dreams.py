"""The result of DeepDream: trajectories, verdicts, pictures, and what is said of them."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from segtrace.explainers.couteaux2019.features import Ruler
from segtrace.explainers.couteaux2019.pictures import Shot, animation, curves, sheet
from segtrace.explainers.couteaux2019.trajectory import Trajectory
from segtrace.explainers.couteaux2019.verdicts import Verdict
from segtrace.explainers.couteaux2019.words import NO_CONTROLS, of_organ, reading
from segtrace.explainers.explainer import Explainer, facts_of
from segtrace.names import file_name
from segtrace.progress import counted
from segtrace.report.captions import SCORES, plain, scene_marks, titled
from segtrace.report.files import save_arrays, save_bytes, save_manifest, save_png, save_text
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.pictures.cells import Picture
from segtrace.report.references import PAPER, bibliography
from segtrace.report.references import in_words as sources
from segtrace.report.scene import REGIONS, RESEARCH_USE, Scene
from segtrace.report.tables import save_table


@dataclass(frozen=True)
class Climbed:
    """How much of the work was done.

    Attributes:
        steps: done.
        passes: forward passes of one image, most with a backward one.
        seconds: that they took.
        controls: whether there was time for the controls as well.
    """

    steps: int
    passes: int
    seconds: float
    controls: bool


@dataclass(frozen=True)
class Dreams:
    """What became of the slices on the way up every organ's score.

    Attributes:
        by: the explainer; its ``steps`` were asked for.
        scene: the slices.
        ruler: units.
        trajectory: of every organ and slice.
        verdicts: a feature and organ each; none without controls.
        climbed: what was done.
        region: that was climbed.
        score: φ of it.
        epoch: finished passes of the network, where known.
    """

    by: Explainer
    scene: Scene
    ruler: Ruler
    trajectory: Trajectory
    verdicts: tuple[Verdict, ...]
    climbed: Climbed
    region: str
    score: str
    epoch: int | None

    def write(self, folder: Path | str) -> None:
        """Its files.

        ``trajectory.csv``, a row a slice, climbed organ, step and observed organ; ``verdicts.csv``,
        a row an organ and feature; ``dreams.npz``, the images at the last step, (organ, slice,
        channel, …); ``figures/deepdream/{organ}.png``, ``…_curves.png`` and ``….gif`` with
        ``caption.txt`` and ``references.bib``; ``manifest.json``.
        """
        folder, organs = Path(folder), self.trajectory.organs
        save_table(folder / "trajectory.csv", self.rows())
        save_table(folder / "verdicts.csv", self.verdict_rows())
        names = np.array(organs, dtype=str)
        held = {"organs": names, "dreams": self.trajectory.dreams.numpy()}
        save_arrays(folder / "dreams.npz", held)
        figures = folder / "figures" / self.by.name
        for organ in organs:
            name = file_name(organ, organs)
            save_png(figures / f"{name}.png", self.picture(organ))
            save_png(figures / f"{name}_curves.png", self.curves(organ))
            save_bytes(figures / f"{name}.gif", animation(self.shot(organ)))
        caption = "\n\n".join(map(self.caption, organs)) + "\n"
        save_text(figures / "caption.txt", caption)
        save_text(figures / "references.bib", bibliography(caption))
        save_manifest(folder / "manifest.json", self.facts)

    @property
    def whole(self) -> bool:
        """Whether the time sufficed, also for the controls."""
        return self.climbed.controls

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        found = facts_of(self.by)
        found["options"] |= {"untrained": vars(self.by)["untrained"] is not None}
        return found | {
            "seconds": round(self.climbed.seconds, 1),
            "passes": self.climbed.passes,
            "whole": self.whole,
            "steps": self.climbed.steps,
            "controls": self.climbed.controls,
            "region": self.region,
            "score": self.score,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Of ``trajectory.csv``."""
        return self.trajectory.rows(self.scene, self.ruler)

    def verdict_rows(self) -> list[dict[str, Any]]:
        """Of ``verdicts.csv``."""
        return [asdict(one) | {"verdict": one.word} for one in self.verdicts]

    def shot(self, organ: str) -> Shot:
        """What the pictures of an organ need."""
        done, by = self.climbed.steps, vars(self.by)
        partial = [] if done == by["steps"] else [f"partial: {done} of {by['steps']} steps"]
        return Shot(
            self.trajectory, organ, self.scene, self.ruler,
            [*partial, *scene_marks(self.scene)], self.epoch,
            f"region: {REGIONS.get(self.region, self.region)}  ·  score: "
            f"{SCORES.get(self.score, self.score)}",
        )  # fmt: skip

    def picture(self, organ: str) -> Picture:
        """The CT on its way, and what was added."""
        return sheet(self.shot(organ))

    def curves(self, organ: str) -> Picture:
        """Score, area, Dice and mean value over the steps."""
        return curves(self.shot(organ))

    def caption(self, organ: str) -> str:
        """What a reader of the pictures must know."""
        shot = self.shot(organ)
        sentences = [
            f"{titled(organ)}, {self.by.title}, {counted(self.climbed.steps, 'step')}.",
            f"Method: {self.by.equation}.",
            f"S: the sum of {SCORES.get(self.score, self.score)} over the region, "
            f"{REGIONS.get(self.region, self.region)}.",
            *reading(),
            *(self._said(organ)),
            *(f"Note: {mark}." for mark in shot.marks),
            f"{RESEARCH_USE.capitalize()}.",
            sources([PAPER, *self.by.papers]),
        ]
        return " ".join(sentences)

    @property
    def flow(self) -> None:
        """It changes the image, and draws no map of it."""

    def section(self) -> Section:
        """Pictures and curves of every organ, and what may be said."""
        organs = self.trajectory.organs
        said = [
            f"{self.by.equation}. {sources([PAPER, *self.by.papers])}",
            self._cost(),
            *(" ".join(self._said(organ)) for organ in organs if self.verdicts),
            " ".join(reading()),
        ]
        figures = []
        for organ in organs:
            figures += [
                Shown(embedded(self.picture(organ)), f"{titled(organ)} on the way up its score, "
                      f"and what was added; moving: explainers/{self.by.name}/figures/"
                      f"{self.by.name}/{file_name(organ, organs)}.gif."),
                Shown(embedded(self.curves(organ)), f"{titled(organ)}: numbers over the steps, "
                      "means over slices. Every slice: trajectory.csv."),
            ]  # fmt: skip
        return Section(self.by.title, tuple(said), tuple(figures), self._tables)

    def _said(self, organ: str) -> list[str]:
        return of_organ(organ, self.verdicts, self.climbed.steps) if self.verdicts else [
            NO_CONTROLS]  # fmt: skip

    def _cost(self) -> str:
        spent = (
            f"{self.climbed.passes} forward and backward passes of one image in "
            f"{self.climbed.seconds:.0f} s"
        )
        asked = vars(self.by)["steps"]
        if self.whole:
            return f"{counted(asked, 'step')}; {spent}."
        done = f"Partial: {self.climbed.steps} of {asked} steps, when the time was over"
        return f"{done}; {spent}: give more max_seconds, or ask for fewer. {NO_CONTROLS}"

    @cached_property
    def _tables(self) -> tuple[Table, ...]:
        if not self.verdicts:
            return ()
        told = ("change", "chance", "untrained", "step", "step_chance", "step_untrained",
                "step_shuffled")  # fmt: skip
        rows = [
            {
                "organ": plain(one.organ),
                "feature": one.feature,
                "start": f"{round(one.start, 2):g} {one.start_unit}".rstrip(),
                "unit of change": one.unit,
            }
            | {name.replace("_", " "): getattr(one, name) for name in told}
            | {"verdict": one.word}
            for one in self.verdicts
        ]
        return (Table.of(
            "Means over cases. Of the predicted region: start, change over the whole ascent, and "
            "after as many steps along directions by chance and the untrained network's gradient. "
            "step: one step, of brightness where the organ was at step 0, along its own gradient; "
            "beside it chance, the untrained network, and the most that any of 19 networks of "
            "shuffled weights gives. Intervals and p: verdicts.csv.", rows),
        )  # fmt: skip
