"""How often each kind of claim is made of nothing, and of something.

``PYTHONPATH=src:tests python tests/report/claims/nulls.py`` prints the table of
``report/claims/README.md``. One text is what a page, a terminal or a logger prints of one kind.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from report.claims.test_headlines import ORGANS, RULES, STAGES, headlines
from report.claims.test_leaks import leak, smooth
from report.claims.test_routes import SITES, routes
from segtrace.causal.faithfulness.paths import CONTROLS
from segtrace.causal.faithfulness.ranking import rankings
from segtrace.causal.faithfulness.removal import WAYS
from segtrace.causal.faithfulness.tally import tally
from segtrace.causal.faithfulness.verdict import verdicts
from segtrace.causal.necessity import Necessity
from segtrace.measures.emergence import RISE, Emergence
from segtrace.measures.significance import beyond_controls_p
from segtrace.report.claims.claim import Claim
from segtrace.report.claims.controls import control_claim
from segtrace.report.claims.emergence import Emergences
from segtrace.report.claims.headlines import MARGIN
from segtrace.report.claims.leaks import find_events
from segtrace.report.claims.paths import path_claim
from segtrace.report.claims.rankings import ranking_claim
from segtrace.report.claims.routes import NEEDED
from segtrace.report.claims.verdicts import Verdicts

CASES = (3, 5, 8, 12)
EFFECTS = ("normal", "tail above", "tail below", "one in ten far below")
TEXTS = 200


@dataclass(frozen=True)
class Effects:
    """What cases add to a number: mean 0, standard deviation 1.

    Half of the variance is shared by all numbers of a case. A tail is that of an exponential; of
    one in ten the others gain a ninth of what it loses.
    """

    kind: str
    random: np.random.Generator

    def standard_normal(self, shape):
        """Named as numpy's, in whose place it stands; the last axis is that of cases."""
        shared = (*[1] * (len(shape) - 1), shape[-1])
        return (self._own(shape) + self._own(shared)) / np.sqrt(2)

    def _own(self, shape):
        if self.kind == "normal":
            return self.random.standard_normal(shape)
        if self.kind == "one in ten far below":
            return np.where(self.random.random(shape) < 0.9, 1 / 3, -3.0)
        tail = self.random.exponential(size=shape) - 1
        return tail if self.kind == "tail above" else -tail


def headline(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """Gain of every stage as far above the untrained network's as is no claim yet."""
    rise = {(stage, organ): MARGIN + 0.3 * true for stage in STAGES for organ in ORGANS}
    found = headlines(cases, 0, rise, noise=0.2, random=effects)
    for rule in RULES if bool(found.tested["passed"].any()) else ():  # else nothing can hold
        yield from (found.network(rule), *(found.of(rule, organ) for organ in ORGANS))


def leaks(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """Smooth fields in place of maps, two slices a case."""
    names = [str(c) for c in range(cases) for _ in range(2)]
    if true:
        found, before = leak({"dec4": 0.3}, 2 * cases), leak({}, 2 * cases)
    else:
        generator = torch.Generator().manual_seed(int(effects.random.integers(2**31)))
        found, before = (smooth(generator, 2 * cases) for _ in range(2))
    return find_events(found, found, before, names)


def route(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """Every cut costs as much Dice as is no claim yet."""
    lost = dict.fromkeys(SITES, NEEDED) | {"skip_1": NEEDED + 0.3 * true}
    found = routes(lost, cases, -0.1, random=effects)  # what is left is less where more is lost
    common = found.network()
    return [*filter(None, [common]), *map(found.of, found.organs)]


def verdict(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """One control costs as much as the map; the others nothing."""
    shape = (2, 3, 2, 3, len(WAYS), cases)
    lost = np.zeros(shape)
    lost[..., 0, :] = 0.4 + 0.4 * true + 0.2 * effects.standard_normal((*shape[:4], cases))
    lost[..., WAYS.index("norm"), :] = 0.4
    names = {"where": ["anywhere", "outside"], "site": ["enc1", "dec1", "dec2"], "rule": RULES,
             "organ": ORGANS, "way": list(WAYS)}  # fmt: skip
    names |= {"case": ("slice", [*map(str, range(cases))])}
    axes = ("where", "site", "rule", "organ", "way", "slice")
    return Verdicts(list(verdicts(xr.Dataset({"lost": (axes, lost)}, names))), "").claims()


def ranking(effects: Effects, cases: int, true: bool, knows: float = 0.0) -> Iterable[Claim]:
    """Predictors that order edges by chance, and so does a control."""
    edges, noise = 6, torch.from_numpy(0.05 * effects.standard_normal((6, 2, cases)))
    cost = torch.linspace(0.1, 0.6, edges)[:, None, None].double()
    one = torch.ones(2, cases).double()
    lost = Necessity.from_plain({
        "sites": tuple(map(str, range(edges))), "places": ("edge",) * edges,
        "organs": tuple(ORGANS[:2]), "cases": tuple(map(str, range(cases))), "cut": "resample",
        "draws": 1, "score": "logit", "cut_vertex": torch.zeros(edges, dtype=torch.bool),
        "whole": {"dice": one, "score": one}, "dice": 1 - cost - noise, "scores": 1 - cost - noise,
    })  # fmt: skip

    def guess(of: float):
        """Knows the costs in part; of the rest, the same in all cases, and some in each."""
        own = torch.from_numpy(effects.random.standard_normal((edges, 1, 1)))
        each = torch.from_numpy(effects.random.standard_normal((edges, 2, cases)))
        return of * cost + (1 - of) * 0.2 * (own + each)

    maps = {f"map size, {rule}": guess(1.0 if true else knows) for rule in RULES}
    found = rankings(lost, maps, {"depth": guess(0.0 if true else knows)})
    return [ranking_claim(found, "all", "")]


def ranking_as_a_control(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """Predictors and a control that know the order of the edges equally well."""
    return ranking(effects, cases, true, knows=0.7)


def path(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """So many networks, each map right in half of the pairs over all networks."""
    names = ["seg_grad_cam", "grad_pam", "attribution patching", *CONTROLS]
    rates = (0.5 + 0.15 * effects.standard_normal((len(names), cases))).clip(0, 1)
    rates[1] = np.where(true, 0.95, rates[1])
    networks = []
    for n in range(cases):
        right = effects.random.random((len(names), 8, 4)) < rates[:, n, None, None]
        axes = ("predictor", "organ", "stage")
        each = {"overall": (axes, right * 1.0), "named": ((*axes, "case"), right[..., None] * 1.0)}
        networks.append(xr.Dataset(each, {"predictor": names}))
    return [path_claim(tally(networks))]


def emergence(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """So many runs, whose gain ends as high as it began in the mean."""
    places = [(rule, organ, stage) for rule in RULES for organ in ORGANS for stage in STAGES[:4]]
    rises = torch.from_numpy(0.5 * true + 0.2 * effects.standard_normal((len(places), cases)))
    found = {place: [Emergence("emerged", 2) if up > RISE else Emergence("none") for up in own]
             for place, own in zip(places, rises.tolist(), strict=True)}  # fmt: skip
    return Emergences(found, rises, dict.fromkeys(ORGANS, 0.9)).claims()


def control(effects: Effects, cases: int, true: bool) -> Iterable[Claim]:
    """Of five controls two are as good as the maps, the others far below."""
    maps = 0.5 + 0.3 * true + 0.2 * effects.standard_normal((6, 1, cases))
    beside = np.array([0.5, 0.5, 0.1, 0.1, 0.1])[:, None] + 0.1 * effects.standard_normal(
        (5, cases)
    )
    p = beyond_controls_p(torch.from_numpy(maps - beside))
    return [control_claim("compare", "", [*"abcdef"], p, cases, "")]


def shared_pattern(shared: float, cases: int, texts: int) -> tuple[int, int]:
    """How many texts tell of a leak, and of one that follows the organ, where there is neither.

    Two networks, each with a pattern of its own that is in all its maps; what is left is drawn anew
    for every slice.
    """
    generator = torch.Generator().manual_seed(1)
    names = [str(c) for c in range(cases) for _ in range(2)]
    told = follow = 0
    for _ in range(texts):
        found, before = (smooth(generator, 2 * cases, shared) for _ in range(2))
        events = find_events(found, found, before, names)
        told += bool(events)
        follow += any(event.follows for event in events)
    return told, follow


KINDS: dict[str, Callable[[Effects, int, bool], Iterable[Claim]]] = {
    "headlines": headline,
    "leaks": leaks,
    "routes": route,
    "verdicts": verdict,
    "rankings, by chance": ranking,
    "rankings, as a control": ranking_as_a_control,
    "paths": path,
    "emergence": emergence,
    "controls": control,
}
WITHOUT_EFFECTS = ("leaks", "rankings, by chance", "rankings, as a control")
"""What is drawn is not an effect of cases."""


def rate(kind: str, effect: str, cases: int, texts: int, true: bool = False) -> float:
    """The part of so many texts that print a claim of a kind.

    Seeded, so that a rate is a number and not an event.
    """
    made = 0
    for text in range(texts):
        effects = Effects(effect, np.random.default_rng((cases, text)))
        made += any(claim.holds for claim in KINDS[kind](effects, cases, true))
    return made / texts


def main(texts: int) -> None:
    """Print the table, a row a kind; few texts of a true effect say enough."""
    print("| kind | 3 | 5 | 8 | 12 | true effect, 5 / 12 |\n|---|--:|--:|--:|--:|--:|")
    for kind in KINDS:
        effects = EFFECTS[:1] if kind in WITHOUT_EFFECTS else EFFECTS
        made = [" / ".join(f"{100 * rate(kind, effect, cases, texts if cases > 4 else 5):.1f}"
                           for effect in effects)
                for cases in CASES]  # fmt: skip
        power = [
            f"{100 * rate(kind, 'normal', n, max(20, texts // 10), True):.0f}" for n in (5, 12)
        ]
        print(f"| {kind} | {' | '.join(made)} | {' / '.join(power)} |", flush=True)
    for cases in (6, 12):
        for shared in (0.0, 0.5, 1.0):
            told, follow = shared_pattern(shared, cases, 60)
            print(f"leaks, {cases} cases, {shared:.0%} of the maps the same in all: of 60 texts "
                  f"{told} with an event, {follow} with one that follows the organ")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else TEXTS)
