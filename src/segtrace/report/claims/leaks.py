"""Leakage that is an event: found at a stage, beyond what chance and resolution explain.

"Liver leaks onto right kidney at dec4, within its nulls again at dec5" is an observation of this
kind (Hasany et al. 2023, Fig. 1). It is found by the program, or not found; no pair is expected.
Case by case the density is held against the largest of its nulls: the uniform map, the perfect map
of the stage's grid, the mirror image of the other organ, and the untrained network. All rules,
organs, pairs and stages of an epoch are one family of tests, of the logarithm of that ratio.

That is where the maps lie, not why. A pattern that all maps of a network share, whatever the image
shows, passes if the untrained network has another. It lies as well where the organ is in other
cases, so a second family of tests holds every map against those places: an event says whether it
follows the organ from case to case, or whether its usual place alone would do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from segtrace.errors import InputError
from segtrace.labelled import Dataset, names_along, rows, tensor
from segtrace.measures.energy import nan_where
from segtrace.measures.leakage import Leakage
from segtrace.measures.over_cases import by_case, in_words, method, over_cases
from segtrace.measures.significance import ALPHA, family_p
from segtrace.names import file_name
from segtrace.progress import counted
from segtrace.report.claims.claim import Claim, corrected, number, percent
from segtrace.report.scene import FINAL

PAIR = ("organ", "onto")
ENTRY = ("rule", *PAIR)
LEAST_DENSITY = 2.0
"""An event puts at least twice on an organ what a uniform map would …"""

LEAST_SHARE = 0.05
"""… and at least this part of the whole map …"""

LEAST_SLICES = 3
"""… over at least so many slices that hold both organs."""

OF_THE_MAP = (
    "of the map: of all its positive evidence what lies on the other organ, but for a rim of 2 "
    "pixels or half a cell around the explained one"
)
"""What shares are of, wherever they are printed."""
LARGE = (
    f"at least {LEAST_DENSITY:.0f} times uniform (spread evenly over the whole image, air and "
    f"padding included) and {LEAST_SHARE * 100:.0f} % {OF_THE_MAP}; over {LEAST_SLICES} or more "
    "images"
)
"""The same in words."""
MOST = 5
"""Events told of one rule: those that follow the organ, then the strongest."""
ELSEWHERE = "where it lies in other cases"
"""The density of the same maps where the other organ is there."""
FOLLOWS = "beyond its places in other cases too: it follows the organ"
STAYS = "not beyond its places in other cases: one pattern in all maps would do as much"
UNKNOWN = "its places in other cases are not known of enough cases to test it against them"
FLOOR = 0.1
"""Times uniform, added under the logarithm: less than that is nothing."""


@dataclass(frozen=True, kw_only=True)
class Leak(Claim):
    """One organ's evidence lies on another organ, at neighbouring stages.

    Attributes:
        rule: the rule whose maps show it.
        organ: the organ that is explained.
        onto: the organ on whose pixels the evidence lies.
        stages: where it holds, in order.
        peak: the one of ``stages`` with the highest density, of those where it follows the organ
            if there are any; the numbers are of it.
        follows: there it lies on the other organ more than where that is in other cases.
    """

    rule: str
    organ: str
    onto: str
    stages: tuple[str, ...]
    peak: str
    follows: bool


def _words(name: str) -> str:
    return name.replace("_", " ")


def find_events(
    found: Leakage,
    centered: Leakage | None,
    untrained: Leakage | None,
    cases: Sequence[str],
    without: Sequence[str] = (),
) -> list[Leak]:
    """Every leak that is more than uniform, resolution, place, untrained and a common mode.

    None where a control is missing, and none at the head, which is the output.

    Args:
        found: leakage of the flow of ``score="logit"``.
        centered: of ``score="centered"``; what disappears there is shared by all logits.
        untrained: of the network at epoch 0.
        cases: name of each slice's case.
        without: organs that are explained but of which nothing is claimed.

    Raises:
        InputError: leakages of different stages, rules or organs.
    """
    if centered is None or untrained is None:
        return []
    return events_of(held_against(found, centered, untrained, cases, without))


def events_of(tests: Dataset) -> list[Leak]:
    """The entries that hold, of neighbouring stages as one.

    Those that follow the organ come first, each kind by its density.
    """
    some = tests["holds"].any("site").to_dataset(name="some")
    events = [
        _event(tests, at, run)
        for at in rows(some, ENTRY, (*ENTRY, "some"))
        if at.pop("some")
        for run in _runs(tests["holds"].sel(at).values.tolist())
    ]
    return sorted(events, key=lambda event: (not event.follows, -event.numbers["times uniform"]))


def held_against(
    found: Leakage,
    centered: Leakage | None,
    untrained: Leakage | None,
    cases: Sequence[str],
    without: Sequence[str] = (),
) -> Dataset:
    """Of every entry, axes site, rule, organ, onto: what it is held against, and what holds.

    The summary of ``found``, and beside it ``untrained``, that network's density; ``mean``,
    ``low``, ``high`` and ``cases`` of the density over cases; ``null``, the largest of what it is
    held against; ``centred``, the density on centred logits; ``p``, corrected for all, NaN where
    nothing was tested; ``holds``; ``p_others``, the p beyond where the other organ lies in the
    other cases; NaN where that is not known; ``follows``, whether what holds passes that, too. Both
    are False where nothing was tested.

    Raises:
        InputError: leakages of different stages, rules or organs.
    """
    _check(found, centered)
    _check(found, untrained)
    here = found.summary
    own, null, others = _densities(found, cases, untrained)
    beyond, follows = _beyond(own, null), _beyond(own, others)
    large = (here["density"] >= LEAST_DENSITY) & (here["share"] >= LEAST_SHARE)
    large &= here["slices"] >= LEAST_SLICES
    if centered is not None:
        again, null, others = _densities(centered, cases, untrained)
        beyond = torch.minimum(beyond, _beyond(again, null))
        follows = torch.minimum(follows, _beyond(again, others))
        large &= centered.summary["density"] >= LEAST_DENSITY
    asked = (here["organ"] != here["onto"]) & (here["site"] != FINAL)
    asked &= ~here["organ"].isin(list(without))
    axes = here["density"].dims
    asked = asked.broadcast_like(here["density"]).transpose(*axes)
    p, p_others = (family_p(nan_where(~tensor(asked)[..., None], one)) for one in (beyond, follows))
    over = over_cases(own, list(dict.fromkeys(cases)), within=(0.0, torch.inf))
    before = here["density"] * torch.nan if untrained is None else untrained.summary["density"]
    printed = here["density_coarse"].clip(min=1.0)
    for other in (here["density_mirrored"], before):
        printed = printed.where(~(other > printed), other)
    holds = tensor(large) & (p <= ALPHA) & over.above(tensor(printed.transpose(*axes)))
    numbers = {"p": p, "p_others": p_others, "holds": holds,
               "follows": holds & (p_others <= ALPHA), "mean": over.mean, "low": over.low,
               "high": over.high, "cases": over.cases}  # fmt: skip
    named = {name: (axes, values) for name, values in numbers.items()}
    apart = here["density"] * torch.nan if centered is None else centered.summary["density"]
    return here.assign(named).assign(untrained=before, null=printed, centred=apart)


def _densities(
    leak: Leakage, cases: Sequence[str], untrained: Leakage | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every case, (S, R, O, J, C): density, the largest of its nulls, and that on others."""
    usable, share = tensor(leak.usable), tensor(leak.data["share"])

    def of(name: str, area: str = "area") -> Tensor:
        values, below = tensor(leak.data[name]), tensor(leak.data[area])[:, None]
        values = values if values.ndim == share.ndim else values[:, None]
        return by_case(nan_where(~usable, values.expand_as(share)), cases, below.expand_as(share))

    null = torch.maximum(of("coarse").nan_to_num(nan=1.0), torch.tensor(1.0).double())
    null = torch.fmax(null, of("mirrored", "mirrored_area"))
    if untrained is not None:  # a dead map of the untrained network counts as an even one
        null = torch.fmax(null, _densities(untrained, cases, None)[0])
    return of("share"), null, of("others", "others_area")


def _beyond(own: Tensor, null: Tensor) -> Tensor:
    return (own + FLOOR).log() - (null + FLOOR).log()


def _check(found: Leakage, other: Leakage | None) -> None:
    if other is None:
        return
    for what, axis in Leakage.form.names.items():
        mine, theirs = names_along(found.data, axis), names_along(other.data, axis)
        if mine != theirs:
            raise InputError(
                f"leakages can be held against each other for the same {what} only; these have "
                f"{', '.join(mine)} and {', '.join(theirs)}"
            )


def _runs(holds: Sequence[bool]) -> list[range]:
    """Stretches of consecutive True."""
    starts = [i for i, h in enumerate(holds) if h and not (i and holds[i - 1])]
    ends = [i + 1 for i, h in enumerate(holds) if h and not (i + 1 < len(holds) and holds[i + 1])]
    return [range(start, end) for start, end in zip(starts, ends, strict=True)]


def _event(tests: Dataset, at: Mapping[str, str], run: range) -> Leak:
    stages, here = names_along(tests, "site"), tests.sel(at)
    density, follow = here["density"].values, here["follows"].values
    peak = stages[max(run, key=lambda s: (bool(follow[s]), float(density[s])))]
    one = here.sel(site=peak)
    where = stages[run[0]] if len(run) == 1 else f"{stages[run[0]]}-{stages[run[-1]]}"
    sentence = (
        f"{_words(at['organ'])} leaks onto {_words(at['onto'])} at {where}, {_then(here, run)}"
    )
    known, follows = numbers_of(one), bool(one["follows"])
    whose = FOLLOWS if follows else STAYS if "p, other cases" in known else UNKNOWN
    picture = picture_path(at["rule"], peak, stages)
    return Leak(
        kind="leak",
        words=f"{sentence} ({peak}: {detail(known)}; {whose}; {picture})",
        numbers=known,
        tests=(
            corrected(int(tests["p"].notnull().sum())),
            "95 % t interval above every null that is defined",
            LARGE + ", on centred logits too" * bool(tests["centred"].notnull().any()),
        ),
        rule=at["rule"],
        organ=at["organ"],
        onto=at["onto"],
        stages=tuple(stages[s] for s in run),
        peak=peak,
        follows=follows,
    )


def _then(here: Dataset, run: range) -> str:
    """What becomes of a leak behind its stages, up to the next leak of the same two organs."""
    stages, tested = names_along(here, "site"), here["p"].notnull().values
    inside = (here["density"] <= here["null"]).values
    after = [*takewhile(lambda s: not here["holds"].values[s], range(run.stop, len(stages)))]
    gone = next((s for s in after if inside[s]), None)
    if gone is None and not tested[run.stop :].any():
        return "the last stage tested" if len(run) == 1 else "up to the last stage tested"
    words = []
    if after[0] != gone:
        words.append(f"not {'shown' if tested[after[0]] else 'tested'} at {stages[after[0]]}")
    if gone is not None:
        words.append(f"within its nulls again at {stages[gone]}")
    return ", ".join(words)


def picture_path(rule: str, peak: str, stages: Sequence[str]) -> str:
    """Where the picture of a leak's matrix lies, below the folder of its numbers."""
    return f"leak/{file_name(rule)}/{file_name(peak, stages)}.png"


def numbers_of(one: Dataset) -> dict[str, float]:
    """Those of an entry of :func:`held_against` that are defined."""
    numbers = {
        "times uniform": one["density"], "mean over cases": one["mean"], "low": one["low"],
        "high": one["high"], "cases": one["cases"], "share": one["share"],
        "perfect coarse map": one["density_coarse"], "untrained": one["untrained"],
        "mirror image": one["density_mirrored"], ELSEWHERE: one["density_others"], "p": one["p"],
        "p, other cases": one["p_others"],
    }  # fmt: skip
    return {name: float(value) for name, value in numbers.items() if value == value}


def detail(known: Mapping[str, float]) -> str:
    """The numbers behind the sentence, in one line; what is not defined is not named."""
    cases = int(known["cases"])
    low, high = (known.get(end, torch.nan) for end in ("low", "high"))
    ends = f"{method(cases)} " * (low == low) + in_words(low, high, cases, digits=1)
    names = ("perfect coarse map", "untrained", "mirror image", ELSEWHERE)
    nulls = [f"{name} {number(known[name], 1)}" for name in names if name in known]
    return (
        f"{known['times uniform']:.1f} times uniform (mean over cases "
        f"{known['mean over cases']:.1f}, {ends}), {percent(known['share'])} of the "
        f"map; {', '.join(nulls)}"
    )


def too_few_slices(leak: Leakage) -> list[str]:
    """Pairs of which nothing can be said: ``liver on spleen: too few slices (2)``."""
    together = leak.data[["counted"]].any("site").sum("slice")
    return [
        f"{_words(pair['organ'])} on {_words(pair['onto'])}: too few slices ({pair['counted']})"
        for pair in rows(together, PAIR, (*PAIR, "counted"))
        if pair["organ"] != pair["onto"] and pair["counted"] < LEAST_SLICES
    ]


def strongest(
    leak: Leakage,
    stage: str,
    rule: str,
    count: int = 3,
    without: Sequence[str] = (),
    image: str = "slice",
) -> list[str]:
    """The largest densities of one matrix on other organs, as text; events or not.

    Of those above a uniform map's: less is no evidence of one organ on another.

    Args:
        leak: the leakage.
        stage: whose matrix.
        rule: of which rule.
        count: so many at most.
        without: organs whose maps are left out.
        image: what an image is called, a slice or a volume.
    """
    here = leak.summary.sel(site=stage, rule=rule)
    entries = [
        entry
        for entry in rows(here, PAIR, (*PAIR, "density", "share", "slices"))
        if entry["slices"] >= LEAST_SLICES
        and entry["density"] > 1
        and entry["organ"] != entry["onto"]
        and entry["organ"] not in without
    ]
    return [
        f"{_words(one['organ'])} on {_words(one['onto'])}: {one['density']:.1f} times uniform, "
        f"{percent(one['share'])} of the map, {counted(one['slices'], image)}"
        for one in sorted(entries, key=lambda one: one["density"])[: -count - 1 : -1]
    ]
