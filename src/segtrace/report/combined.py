"""A map over several stages, such as the whole decoder: the last column of a picture."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

NAME = "aggregate"
NOTHING = "no stage's map can be used"
SCALED = {
    "minmax": "each scaled from its minimum to its maximum (Mullan and Sonka 2022)",
    "max": "each divided by its maximum (as Mullan and Sonka 2023, who sum them)",
}
"""How the stages' maps are made comparable, in a reader's words."""
AGGREGATES = (*SCALED, "minmax_all", "max_all")
"""What the column may be: the decoder's stages, or all of encoder and decoder."""


class Combined(Protocol):
    """One map out of the maps of several stages, and what went into it."""

    @property
    def map(self) -> Tensor:
        """(R, O, N, h, w) in [0, 1]; NaN where no stage could be used."""
        ...

    @property
    def used(self) -> Tensor:
        """(R, O, N) number of stages that went in; those without a sound map do not."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages asked for."""
        ...

    @property
    def how(self) -> str:
        """How their maps were scaled: a name in :data:`SCALED`."""
        ...


def counted(combined: Combined, at: tuple[int, int, int]) -> str:
    """How many stages the map of (rule, organ, slice) rests on."""
    return f"{int(combined.used[at])} of {len(combined.stages)} stages"


def explained(combined: Combined) -> str:
    """What the column is, for a caption."""
    return f"{NAME}: mean of the maps of {listed(combined.stages)}, {SCALED[combined.how]}"


def listed(stages: Sequence[str]) -> str:
    """Names in a row.

    >>> listed(["dec1", "dec2", "dec3"])
    'dec1, dec2 and dec3'
    """
    *most, last = stages
    return f"{', '.join(most)} and {last}" if most else last
