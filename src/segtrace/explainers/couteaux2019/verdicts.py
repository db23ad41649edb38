"""Is a network sensitive to a feature of an organ? What was tried, and what it says.

Raising a score enlarges the organ's region and moves its shape in any network, by construction; so
**sensitive** is said of the brightness of the region that there was at step 0 alone, where the
gradient of any other network is as good as the network's own. A step along the own gradient must
change it more, over cases, than one along chance, the untrained network's gradient and those of
networks of shuffled weights, and the whole ascent more than as many steps along the former two.
Beyond, its mean, in units of what all these networks give, must exceed that of every feature and
organ in each of the shuffled ones, as it does in one of 20 networks that hold nothing. Else, and of
an organ that the network does not find, nothing is claimed. Nothing is called robust: features
change as little in networks that hold nothing, and the less the shorter the walk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from segtrace.explainers.couteaux2019.controls import BRIGHTNESS, Lines
from segtrace.explainers.couteaux2019.features import NAMES, Ruler
from segtrace.explainers.couteaux2019.trajectory import Trajectory
from segtrace.measures.over_cases import by_case, over_cases
from segtrace.measures.significance import ALPHA, weakest_p

SENSITIVE, NO_CLAIM = "sensitive", "no claim"
JUDGED = tuple(name for name in NAMES if name != "dice")
"""Whether the prediction stays is what the ascent is about, and no feature of the organ."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one feature of one organ; NaN is what is not known, or does not apply.

    Attributes:
        organ: that was climbed.
        feature: one of :data:`JUDGED`.
        unit: of the changes.
        start_unit: of the number at step 0.
        start: of the predicted region at step 0, mean over cases.
        change: over the whole ascent.
        low: lower end of its interval over cases.
        high: upper end.
        chance: size of the change after as many steps by chance, mean of the draws.
        untrained: change after as many steps along the untrained network's gradient.
        step: change of the region of step 0 with one step along the own gradient; of brightness.
        step_chance: its size along directions by chance.
        step_untrained: along the untrained network's gradient.
        step_shuffled: the largest size along those of shuffled networks.
        cases: how many have the feature.
        p_cases: of a change beyond all controls, corrected for all features and organs.
        p_networks: of a step beyond that of networks that hold nothing, corrected likewise.
        why_not: why nothing is claimed of the organ whatever the numbers are; "" where it may be.
    """

    organ: str
    feature: str
    unit: str
    start_unit: str
    start: float
    change: float
    low: float
    high: float
    chance: float
    untrained: float
    step: float
    step_chance: float
    step_untrained: float
    step_shuffled: float
    cases: int
    p_cases: float
    p_networks: float
    why_not: str

    @property
    def word(self) -> str:
        """What may be said."""
        passed = not self.why_not and self.p_cases <= ALPHA and self.p_networks <= ALPHA
        return SENSITIVE if passed else NO_CLAIM


def judge(
    trajectory: Trajectory,
    lines: Lines,
    cases: Sequence[str],
    ruler: Ruler,
    why_not: Mapping[str, str],
) -> tuple[Verdict, ...]:
    """Every feature of every organ.

    Args:
        trajectory: of the ascent.
        lines: how it is without.
        cases: of the slices.
        ruler: units.
        why_not: organ -> why nothing is claimed of it.
    """
    own = torch.stack([trajectory.own(name) for name in JUDGED])  # (f, J, O, N)
    lines = lines.without(trajectory.scores[0].isnan())
    start, change = own[:, 0], own[:, -1] - own[:, 0]
    below = torch.ones_like(start)
    below[JUDGED.index("area")] = start[JUDGED.index("area")]
    seen = over_cases(change, cases, below)
    p_cases, p_networks = sensitive_p(change, lines, cases)
    at = [NAMES.index(name) for name in JUDGED]
    before = _or_nan(lines.by_untrained, lines.by_chance)
    means = {
        "start": over_cases(start, cases).mean,
        "chance": over_cases(lines.by_chance[:, at].abs().mean(0), cases, below).mean,
        "untrained": over_cases(before[at], cases, below).mean,
    }
    bright = {
        "step": over_cases(lines.own, cases).mean,
        "step_chance": over_cases(lines.chance.abs().mean(0), cases).mean,
        "step_untrained": over_cases(_or_nan(lines.untrained, lines.chance), cases).mean,
        "step_shuffled": over_cases(lines.shuffled, cases).mean.abs().amax(0),
        "p_cases": p_cases,
        "p_networks": p_networks,
    }
    units = {"area": "of step 0", "mean": ruler.value, "sd": ruler.value, "shift": ruler.length}
    found = []
    for o, organ in enumerate(trajectory.organs):
        for f, name in enumerate(JUDGED):
            b = BRIGHTNESS.index(name) if name in BRIGHTNESS else None
            found.append(Verdict(
                organ, name, units.get(name, ""), (units | {"area": ruler.size}).get(name, ""),
                **{key: float(one[f, o]) for key, one in means.items()},
                **{key: nan if b is None else float(one[b, o]) for key, one in bright.items()},
                change=float(seen.mean[f, o]), low=float(seen.low[f, o]),
                high=float(seen.high[f, o]), cases=int(seen.cases[f, o]),
                why_not=why_not.get(organ, ""),
            ))  # fmt: skip
    return tuple(found)


def sensitive_p(change: Tensor, lines: Lines, cases: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(2, O) p over cases, and over networks, of :data:`BRIGHTNESS`; change is (f, O, N)."""
    f, at = ([of.index(name) for name in BRIGHTNESS] for of in (JUDGED, NAMES))
    pairs = [
        (lines.own, lines.chance.abs().mean(0)),
        (lines.own, lines.shuffled.abs().mean(0)),
        (change[f], lines.by_chance[:, at].abs().mean(0)),
    ]
    if lines.untrained is not None and lines.by_untrained is not None:
        pairs += [(lines.own, lines.untrained.abs()), (change[f], lines.by_untrained[at].abs())]
    beyond = torch.stack([  # brighter, darker; (2, 2, O, bounds, C)
        torch.stack([by_case(sign * own - control, cases) for own, control in pairs], -2)
        for sign in (1, -1)
    ])  # fmt: skip
    over = weakest_p(beyond.flatten(0, 2)).view(beyond.shape[:3]).nan_to_num(1.0).amin(0)
    sizes = by_case(torch.cat([lines.own[None], lines.shuffled]), cases).nanmean(-1).abs()
    shares = (sizes / sizes.mean(0)).nan_to_num(0.0)
    largest = shares[1:].flatten(1).amax(1)  # of each network that holds nothing
    reached = (largest[:, None, None] >= shares[0]).sum(0)
    return over, (1 + reached).double() / len(shares)


def _or_nan(values: Tensor | None, like: Tensor) -> Tensor:
    """What is known, or NaN in the shape of one of several."""
    return torch.full_like(like[0], nan) if values is None else values
