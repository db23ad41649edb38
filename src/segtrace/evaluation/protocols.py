"""The protocols: rules for organs that are missing, false or absent, and who is averaged."""

from dataclasses import dataclass
from math import inf, nan

from segtrace.errors import unknown

BOTH, MISSING, FALSE, ABSENT = "both", "missing", "false", "absent"
"""In truth and prediction; in the truth alone; in the prediction alone; in neither."""


@dataclass(frozen=True)
class Rule:
    """What an organ scores where truth or prediction is empty.

    Attributes:
        dice: and surface Dice.
        hd95: in mm and in voxels.
    """

    dice: float
    hd95: float


@dataclass(frozen=True)
class Protocol:
    """How cases are scored.

    Attributes:
        name: as it is asked for.
        missing: the truth has the organ, the prediction does not.
        false: the prediction has it, the truth does not.
        absent: neither has it. NaN is left out of means.
        cubic: slices are resized as TransUNet's program does, and not as in our training.
        words: what must be known to read its table.
    """

    name: str
    missing: Rule
    false: Rule
    absent: Rule
    cubic: bool
    words: str

    def rule(self, finding: str) -> Rule | None:
        """For one of :data:`BOTH` and so on; ``None`` for what is measured."""
        return {MISSING: self.missing, FALSE: self.false, ABSENT: self.absent}.get(finding)


STRICT = Protocol(
    "strict",
    missing=Rule(0, inf),
    false=Rule(0, inf),
    absent=Rule(nan, nan),
    cubic=False,
    words="Strict: a missing organ and a false one score Dice 0 and an infinite HD95; an organ "
    "that neither truth nor prediction has is left out. The mean HD95 is that of finite ones, so "
    "read it beside the counts of missing and false organs; in its median they count as infinite.",
)
TRANSUNET = Protocol(
    "transunet",
    missing=Rule(0, 0),
    false=Rule(1, 0),
    absent=Rule(0, 0),
    cubic=True,
    words="By TransUNet's program: slices resized by cubic splines, scored in voxels of the file's "
    "own grid. A missing organ scores Dice 0 and HD95 0, the best there is; a false one Dice 1 and "
    "HD95 0; an organ that is rightly absent Dice 0. Compare with published tables, and no more.",
)
PROTOCOLS = {protocol.name: protocol for protocol in (STRICT, TRANSUNET)}


def protocol_of(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        InputError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
