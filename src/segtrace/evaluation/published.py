"""The published tables of Synapse, to stand beside a table of ours."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import nan

from segtrace.data.labels import ORGAN_SETS
from segtrace.progress import counted

TRAINED, SIZE = 18, 224
"""Cases that the published networks were trained on; rows and columns of TransUNet's slices."""


@dataclass(frozen=True)
class Published:
    """A row of ``published.csv``: 2-D networks, 18 training and 12 test cases, 8 organs.

    Attributes:
        method: its name.
        year: in which it was first made public.
        dice: %, mean over organs; as printed, also where the organs do not average to it.
        hd95: called mm where it is printed, and counted in voxels; NaN where it is not given.
        organs: organ -> Dice in %.
        source: where the row was read: a copy of the papers' tables, not the papers.
        note: what is known to be wrong with it.
    """

    method: str
    year: int
    dice: float
    hd95: float
    organs: dict[str, float]
    source: str
    note: str


def published() -> list[Published]:
    """All rows, by their Dice."""
    text = files("segtrace.evaluation").joinpath("published.csv").read_text(encoding="utf-8")
    return sorted(map(_row, csv.DictReader(text.splitlines())), key=lambda row: row.dice)


def _row(row: dict[str, str]) -> Published:
    return Published(
        row["method"], int(row["year"]), float(row["dice"]), float(row["hd95"] or nan),
        {organ: float(row[organ]) for organ in ORGAN_SETS["synapse8"]}, row["source"], row["note"],
    )  # fmt: skip


@dataclass(frozen=True)
class Taught:
    """On what a network was trained.

    Attributes:
        phantom: on generated images.
        size: rows and columns of its slices; ``None`` where it takes volumes.
        cases: names of those it was trained on; ``None`` where not known.
    """

    phantom: bool
    size: int | None
    cases: Sequence[str] | None

    def differs(self) -> list[str]:
        """What sets it apart from the published networks, in sentences."""
        told = ["The network was trained on a generated phantom."] * self.phantom
        if self.cases is None:
            told.append("It is not known which cases the network was trained on.")
        elif len(self.cases) != TRAINED:
            told.append(
                f"The network was trained on {counted(len(self.cases), 'case')}, the published "
                f"ones on {TRAINED}."
            )
        if self.size is None:
            told.append("The network takes volumes, the published ones slices.")
        elif self.size != SIZE:
            told.append(f"The network's slices have {self.size} rows, TransUNet's {SIZE}.")
        return told


def why_not_comparable(
    protocol: str,
    organs: Collection[str],
    phantom: bool,
    cases: Collection[str],
    published_cases: Collection[str],
    taught: "Taught",
) -> list[str]:
    """What sets a table apart from the published ones, in sentences; nothing where nothing does.

    Args:
        protocol: by which ours was made.
        organs: of ours.
        phantom: the images were generated.
        cases: of ours.
        published_cases: the twelve of the protocol.
        taught: on what our network was trained.
    """
    told = []
    if phantom:
        told.append("These images are a generated phantom and no Synapse: nothing can be compared.")
    elif {*cases} != {*published_cases}:
        told.append("These are not the twelve published test cases of Synapse.")
    if {*organs} != {*ORGAN_SETS["synapse8"]}:
        told.append("These are not the eight organs of the published tables.")
    if protocol != "transunet":
        told.append("The published tables are by the protocol transunet, this one is not.")
    return told + taught.differs()
