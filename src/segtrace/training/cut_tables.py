"""What cutting found, as rows: beside the untrained network's, with intervals over cases."""

from typing import Any

import torch

from segtrace.report.route_words import NEEDED
from segtrace.training.cuts import Cuts

NAN = float("nan")


def necessity_rows(cuts: Cuts, untrained: Cuts | None) -> list[dict[str, Any]]:
    """One row a site and organ: means over the slices that hold the organ."""
    found = cuts.necessity
    dice, score = found.mean().tolist(), found.score_lost.nanmean(2).tolist()
    ends = cuts.interval().tolist()
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
            "dice_lost_low": ends[s][o][0],
            "dice_lost_high": ends[s][o][1],
            "dice_lost_untrained": before.get((site, organ), NAN),
            "score_lost": score[s][o],
            "slices": slices[o],
            "cases": _cases(cuts, o),
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


def _cases(cuts: Cuts, o: int) -> int:
    """Of how many cases the slices are that hold the organ."""
    held = ~torch.isnan(cuts.necessity.whole.dice[o])
    return len({case for case, holds in zip(cuts.necessity.cases, held, strict=True) if holds})


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
    """The site that each organ could least do without, for a terminal.

    Cut vertices cost all there is by construction and are no finding, so they are left out.
    """
    found = cuts.necessity
    free = [s for s in range(len(found.sites)) if not found.cut_vertex[s]]
    lost, ends = found.mean(), cuts.interval()
    width = max(map(len, cuts.organs))
    lines = [f"  {'organ':<{width}}  Dice  could least do without"]
    for o, organ in enumerate(cuts.organs):
        line = f"  {organ:<{width}}  {cuts.dice(organ):.2f}"
        if not cuts.dice(organ) >= NEEDED:
            line += "  not found: cutting can take nothing away"
        elif free:
            ranked = sorted(free, key=lambda s: -float(lost[s, o]))[:3]
            line += "  " + ", ".join(_words(found.sites[s], lost[s, o], ends[s, o]) for s in ranked)
        lines.append(line)
    return "\n".join(lines)


def _words(site: str, lost: torch.Tensor, ends: torch.Tensor) -> str:
    low, high = ends.tolist()
    band = "" if low != low or high != high else f" [{low:.2f}, {high:.2f}]"
    return f"{site} {float(lost) + 0.0:.2f}{band}"


def report(cuts: Cuts) -> None:
    """Print which stage or edge each organ could least do without, and its route."""
    print(f"\nDice lost when a stage or an edge is cut ({cuts.necessity.cut})\n{summary(cuts)}")
    if cuts.left_out:
        print(f"  on none of the slices: {', '.join(cuts.left_out)}")
    if cuts.route is None:
        print("  stages alone: the edges of this network are not known; give edges=edges.yaml")
    for organ, words in cuts.sentences().items():
        if cuts.dice(organ) >= NEEDED:
            print(f"  {words}")
    print("  This is what the network relies on; one trained without the site might do as well.")
