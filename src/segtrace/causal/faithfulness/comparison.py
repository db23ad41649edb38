"""Methods side by side: their numbers over cases, and which are beyond every control row."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from segtrace.labelled import Dataset, tensor
from segtrace.measures.measure import SHARE, RatioOfSums, table
from segtrace.measures.over_cases import by_case, over_cases
from segtrace.measures.significance import ALPHA, beyond_controls_p

CONTROL = "control"
"""The kind of rows that know nothing of what is explained."""


@dataclass(frozen=True)
class Column:
    """A number of every row.

    Attributes:
        name: as in the tables.
        title: over its part of the figure.
        words: what it says, in a sentence.
        better: which way is better; ``None`` where neither is.
        tested: whether rows are held against the controls by it. Only where all maps are given
            the same: what depends on how much a map shows is won by a map that shows everything.
        slices: how slices are put together; ``None`` is the mean.
        range: the least and the largest value there can be.
    """

    name: str
    title: str
    words: str
    better: Literal["less", "more"] | None = None
    tested: bool = False
    slices: RatioOfSums | None = None
    range: tuple[float, float] = SHARE


def columns(hidden: Sequence[str]) -> tuple[Column, ...]:
    """Those of a comparison in which pixels are hidden in these ways."""
    ordered = [
        Column(f"{name}_{b}", f"{name}\n{b}", f"{words}, {b} in their place", better, tested=True)
        for b in hidden
        for name, words, better in ORDERED
    ]
    return (*ordered, *OTHERS)


ORDERED: tuple[tuple[str, str, Literal["less", "more"]], ...] = (
    ("deletion", "Dice to the prediction while the map's pixels are taken away, largest first",
     "less"),
    ("insertion", "Dice to the prediction while they are given back, largest first", "more"),
)  # fmt: skip
OTHERS = (
    Column("dice_explained", "Dice\nexplained",
           "Dice to the prediction of what is above a threshold, over all thresholds", "more"),
    Column("saliency_ratio", "saliency\nratio",
           "Pixels kept at Dice 0.9 over pixels predicted; where no threshold reaches it, those of "
           "the whole image", "less",
           range=(0.0, inf)),
    Column("prediction_preserved", "prediction\npreserved",
           "The organ's probability kept where the map masks the image", "more"),
    Column("image_preserved", "image\npreserved", "How much of the image the map keeps", "less"),
    Column("excess", "excess", "Probability that the masked image adds elsewhere", "less",
           range=(0.0, inf)),
    Column("outside", "outside", table()["outside"].words, "less"),
    Column("locality", "locality", table()["locality"].words, "more"),
    Column("gain", "gain", table()["gain"].words, "more", slices=table()["gain"].slices,
           range=table()["gain"].range),
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """A row of the comparison.

    Attributes:
        row: its name.
        control: whether it is one.
        maps: that it has, of organs and slices.
        mean: column -> mean over cases, each the mean of its organs; NaN where there is none.
        low: column -> lower end of the 95 % t interval over cases.
        high: column -> upper end.
        cases: column -> how many have the number.
        p: tested column -> of the weakest of its tests against the control rows, corrected for all
            rows and columns (:mod:`segtrace.measures.significance`); NaN for a control, and below
            five cases.
    """

    row: str
    control: bool
    maps: int
    mean: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    cases: Mapping[str, int]
    p: Mapping[str, float]

    @property
    def beats(self) -> tuple[str, ...]:
        """The columns in which it is beyond every control row."""
        return tuple(name for name, p in self.p.items() if p <= ALPHA)


def standings(
    data: Dataset, asked: Sequence[Column], left_out: Collection[str] = ()
) -> list[Standing]:
    """The rows over cases.

    Args:
        data: a number a column, and what their ratios are of, each with the axes row, organ and
            slice; coordinates ``row``, its ``kind``, and ``case`` along slice.
        asked: the columns.
        left_out: organs that no test rests on.
    """
    cases = data["case"].values.tolist()
    kinds = data["kind"].values.tolist()
    names = [str(c) for c in range(len(dict.fromkeys(cases)))]
    found = {one.name: over_cases(_each(data, one, cases), names, within=one.range)
             for one in asked}  # fmt: skip
    rests = [organ for organ in data["organ"].values.tolist() if organ not in left_out]
    p = _tested(data.sel(organ=rests), asked, cases, kinds)
    maps = tensor(data[asked[0].name]).isfinite().sum((1, 2)).tolist()

    def of(end: str, r: int) -> dict[str, float]:
        return {name: float(getattr(one, end)[r]) for name, one in found.items()}

    return [
        Standing(
            row=row,
            control=kinds[r] == CONTROL,
            maps=int(maps[r]),
            mean=of("mean", r),
            low=of("low", r),
            high=of("high", r),
            cases={name: int(one.cases[r]) for name, one in found.items()},
            p={name: float(one[r]) for name, one in p.items()},
        )
        for r, row in enumerate(data["row"].values.tolist())
    ]


def _each(data: Dataset, column: Column, cases: Sequence[str]) -> Tensor:
    """(rows, C) a number a case, the mean of its organs."""
    if column.slices is None:
        found = by_case(_of(data, column.name), cases)
    else:
        above, below, base = (_of(data, name) for name in column.slices)
        found = by_case(above - base, cases, below - base)
    return found.nanmean(1)


def _of(data: Dataset, name: str) -> Tensor:
    return tensor(data[name].transpose("row", "organ", "slice")).double()


def _tested(
    data: Dataset, asked: Sequence[Column], cases: Sequence[str], kinds: Sequence[str]
) -> dict[str, Tensor]:
    """Tested column -> (rows,) p, NaN for controls.

    Where a map or a control has no number, its slice says nothing of the two.
    """
    tested = [one for one in asked if one.tested]
    control = torch.tensor([kind == CONTROL for kind in kinds])
    beyond = []
    for one in tested:
        values = _of(data, one.name) * (1 if one.better == "more" else -1)
        apart = values[~control][:, None] - values[control][None]  # (maps, controls, O, N)
        beyond.append(by_case(apart, cases).nanmean(2))
    found = torch.full((len(tested), len(kinds)), torch.nan, dtype=torch.float64)
    found[:, ~control] = beyond_controls_p(torch.cat(beyond)).reshape(len(tested), -1)
    return dict(zip((one.name for one in tested), found, strict=True))
