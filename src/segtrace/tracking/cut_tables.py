"""What cutting found, as rows: beside the untrained network's, with intervals over cases."""

from typing import Any

from segtrace.causal.necessity import Necessity
from segtrace.measures.over_cases import COVERAGE, LEAST_CASES, OverCases, in_words, over_cases
from segtrace.report.route_words import NEEDED
from segtrace.tracking.cuts import Cuts

NAN = float("nan")


def cut_tables(cuts: Cuts, untrained: Cuts | None) -> dict[str, list[dict[str, Any]]]:
    """Name of a file -> its rows: ``route.csv`` only where there is a route."""
    tables = {
        "necessity.csv": necessity_rows(cuts, untrained),
        "necessity_slices.csv": slice_rows(cuts),
    }
    return tables if cuts.route is None else tables | {"route.csv": route_rows(cuts, untrained)}


def necessity_rows(cuts: Cuts, untrained: Cuts | None) -> list[dict[str, Any]]:
    """One row a site and organ: means over the cases that hold the organ.

    ``dice_lost_low`` and ``dice_lost_high`` are the ends of the 95 % t interval over ``cases``
    cases, see :mod:`segtrace.measures.over_cases`.
    """
    found = cuts.necessity
    lost = found.over_cases()
    dice, low, high = lost.mean.tolist(), lost.low.tolist(), lost.high.tolist()
    score = over_cases(found.score_lost, found.cases).mean.tolist()
    before = {} if untrained is None else _lost(untrained)
    slices = (~found.whole.dice.isnan()).sum(1).tolist()
    return [
        {
            "epoch": cuts.epoch,
            "site": site,
            "place": found.places[s],
            "cut_vertex": bool(found.cut_vertex[s]),
            "cut": found.cut,
            "organ": organ,
            "dice": cuts.dice(organ),
            "dice_lost": dice[s][o],
            "dice_lost_low": low[s][o],
            "dice_lost_high": high[s][o],
            "dice_lost_untrained": before.get((site, organ), NAN),
            "score_lost": score[s][o],
            "slices": slices[o],
            "cases": int(lost.cases[s, o]),
        }
        for s, site in enumerate(found.sites)
        for o, organ in enumerate(found.organs)
    ]


def _lost(cuts: Cuts) -> dict[tuple[str, str], float]:
    lost = cuts.necessity.mean().tolist()
    return {
        (site, organ): lost[s][o]
        for s, site in enumerate(cuts.necessity.sites)
        for o, organ in enumerate(cuts.organs)
    }


def slice_rows(cuts: Cuts) -> list[dict[str, Any]]:
    """One row a site, organ and slice."""
    return [{"epoch": cuts.epoch, **row} for row in cuts.necessity.rows()]


def route_rows(cuts: Cuts, untrained: Cuts | None) -> list[dict[str, Any]]:
    """One row an edge and organ; none without a route."""
    if cuts.route is None:
        return []
    lost = _lost(cuts)
    sources = dict(zip(cuts.route.edges, cuts.route.sources, strict=True))
    before = {}
    if untrained is not None and untrained.route is not None:
        before = {(row["edge"], row["organ"]): row["share"] for row in untrained.route.rows()}
    return [
        {
            "epoch": cuts.epoch,
            "source": sources[row["edge"]],
            **row,
            "share_untrained": before.get((row["edge"], row["organ"]), NAN),
            "dice_lost": lost[row["edge"], row["organ"]],
        }
        for row in cuts.route.rows()
    ]


def summary(cuts: Cuts) -> str:
    """The sites that each organ could least do without, for a terminal.

    Cut vertices cost all there is by construction and are no finding, so they are left out.
    """
    found = cuts.necessity
    free = [s for s in range(len(found.sites)) if not found.cut_vertex[s]]
    lost = found.over_cases()
    width = max(map(len, cuts.organs))
    lines = [f"  {'organ':<{width}}  Dice  cases  could least do without"]
    for o, organ in enumerate(cuts.organs):
        line = f"  {organ:<{width}}  {cuts.dice(organ):.2f}  {int(lost.cases[:, o].max()):5d}"
        if not cuts.dice(organ) >= NEEDED:
            line += "  not found: cutting can take nothing away"
        elif free:
            ranked = sorted(free, key=lambda s: -float(lost.mean[s, o]))[:3]
            line += "  " + ", ".join(_words(found, lost, s, o) for s in ranked)
        lines.append(line)
    return "\n".join(lines)


def _words(found: Necessity, lost: OverCases, s: int, o: int) -> str:
    """E.g. ``skip_1 0.40 [0.12 to 0.68]``."""
    words = f"{found.sites[s]} {float(lost.mean[s, o]) + 0.0:.2f}"
    if found.all_lost[s, o]:
        return f"{words} [all of it]"
    low, high, cases = float(lost.low[s, o]), float(lost.high[s, o]), int(lost.cases[s, o])
    return words if cases < LEAST_CASES else f"{words} [{in_words(low, high, cases)}]"


def report(cuts: Cuts) -> None:
    """Print which stage or edge each organ could least do without, and its route."""
    print(f"\nDice lost when a stage or an edge is cut ({cuts.necessity.cut})\n{summary(cuts)}")
    print(f"  mean over cases [95 % t interval over cases]. {COVERAGE}")
    if cuts.left_out:
        print(f"  on none of the slices: {', '.join(cuts.left_out)}")
    if cuts.route is None:
        print("  stages alone: the edges of this network are not known; give edges=edges.yaml")
    for organ, words in cuts.sentences().items():
        if cuts.dice(organ) >= NEEDED:
            print(f"  {words}")
    print("  This is what the network relies on; one trained without the site might do as well.")
