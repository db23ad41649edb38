"""The result of explainers whose maps of the image are drawn by chance: each with its error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from torch import Tensor

from segtrace.attribution.flow import INPUT
from segtrace.explainers.error_picture import (
    CHANCE,
    ERROR_WORDS,
    MOSTLY_CHANCE,
    Said,
    error_picture,
)
from segtrace.explainers.image_result import ImageResult, Rows
from segtrace.explainers.stage_maps import UNTRAINED
from segtrace.measures.localisation import over_slices
from segtrace.progress import counted
from segtrace.report.captions import SCORES, plain, titled
from segtrace.report.page.sections import Table
from segtrace.report.pictures.cells import Picture
from segtrace.report.scene import REGIONS


@dataclass(frozen=True)
class ImageMaps(ImageResult):
    """Maps of an explainer on the image, whose error is that of drawing by chance.

    Attributes:
        error: (O, N, H, W) standard error of every pixel of the maps.
        noise: (O, N) the part of a map's variance over the pixels that is error; above 1 where the
            error is larger than all that the map varies, NaN of a constant map.
        numbers: a row an organ and slice, for ``sampling.csv``.
        tables: name of a file -> rows, beside it.
        arrays: what else is kept of the drawing in ``sampling.npz``, beside the standard error.
    """

    error: Tensor
    noise: Tensor
    numbers: Rows
    tables: Mapping[str, Rows]
    arrays: Mapping[str, Tensor]

    def held(self) -> tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, Rows]]:
        """``sampling.npz`` (the standard error, and what was drawn), ``sampling.csv``."""
        arrays = {"standard_error": self.error, **self.arrays}
        return {"sampling.npz": arrays}, {"sampling.csv": self.numbers, **self.tables}

    def picture(self, organ: str) -> Picture:
        """The slices that hold most of an organ: the CT, the map, and its standard error."""
        o = self.flow.organs.index(organ)
        said = Said(self.by.title, self.drawn.words, self.drawn.whole, self.reading)
        return error_picture(self.explained.record, organ, said, self.error[o], self.noise[o])

    def said(self) -> Sequence[str]:
        """The score, and what colours mean."""
        score, region = self.flow.score, self.explained.record.region
        return (
            f"S: the sum of {SCORES.get(score, score)} over the region, "
            f"{REGIONS.get(region, region)}.",
            f"Colour: the map's positive part, of its largest value; error: {ERROR_WORDS}.",
        )

    def remarks(self) -> Sequence[str]:
        """Which maps are mostly chance."""
        many = [(int((one >= CHANCE).sum()), plain(organ))
                for one, organ in zip(self.noise, self.flow.organs, strict=True)]  # fmt: skip
        slices = ", ".join(f"{counted(count, 'slice')} ({organ})" for count, organ in many if count)
        if not slices:
            return []
        return [
            f"{titled(MOSTLY_CHANCE)}, on {slices}; their maps are not drawn, and left out of the "
            "mean gain.",
            self._more(),
        ]

    def _more(self) -> str:
        """How many draws would do: that part over the rest falls as the inverse of their number."""
        noise = self.noise[self.noise >= CHANCE]
        told, untold = noise[noise < 1].double(), int((noise >= 1).sum())
        if not len(told):
            return (
                "Their error is as large as all that they vary: how many would do cannot be told."
            )
        enough = float((told / (1 - told)).max()) * self.drawn.done
        step = 10 ** (len(str(int(enough))) - 1)
        hidden = f"; of {untold} whose error is as large it cannot be told" * bool(untold)
        some = ceil(enough / step) * step
        return f"The error falls with the root of the number: some {some} may do{hidden}."

    def gain(self, organ: str) -> float:
        """Of an organ's maps, over the slices on which they are not mostly chance."""
        sound = ~(self.noise[self.flow.organs.index(organ)] >= CHANCE)
        if not bool(sound.any()):
            return float("nan")
        found = over_slices(self.explained.measures.isel(slice=sound.numpy()))["gain"]
        return float(found.sel(rule=self.by.name, site=INPUT, organ=organ))

    def table(self) -> Table:
        """Gain and chance."""
        rows = [
            {
                "organ": organ,
                "gain": self.gain(organ),
                "chance": float(self.noise[o].nanmean()),
            }
            for o, organ in enumerate(self.flow.organs)
        ]
        return Table.of(
            "Gain over the slices whose maps are drawn, and the part of a map's variance that is "
            f"chance (mean over slices); every slice: measures.csv, sampling.csv. {UNTRAINED}.",
            rows,
        )


def noise_of(maps: Tensor, error: Tensor) -> Tensor:
    """(O, N) mean squared error over the variance of maps (O, N, H, W); NaN of a constant map."""
    varies = maps.flatten(2).double().var(-1, correction=0)
    return (error.flatten(2).double().square().mean(-1) / varies).masked_fill(varies == 0, np.nan)
