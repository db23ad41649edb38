"""What stands in the place of an activation that is cut."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.attribution.passes import SLICES_ON_CPU, per_pass
from segtrace.causal.baselines import Baselines, laid_out
from segtrace.errors import InputError, unknown
from segtrace.network.hooks import observe
from segtrace.network.sites import Site

CUTS = ("channel_mean", "mean_map", "zero", "resample")
"""What stands in the place of a cut activation.

``channel_mean``: each channel's mean over training slices; takes all places away. ``mean_map``: the
mean map over training slices; leaves where things usually are, and is the milder one to use behind
InstanceNorm, which blows a constant's border up. ``zero``: as in the literature, and unlike
anything the network has seen. ``resample``: the activation of another slice, of another case where
there is one; the mean over several draws.
"""

Replacement = Callable[[str, Tensor, slice, int], Tensor]
"""(site, activation (n, K, *cells), which slices, number of the draw) -> what stands there."""


def replacing(
    net: nn.Module,
    sites: Sequence[Site],
    x: Tensor,
    cases: Sequence[str],
    cut: str,
    baselines: Baselines | None = None,
    draws: int = 5,
    seed: int = 0,
    output: Output | None = None,
) -> Replacement:
    """What stands in the place of an activation.

    Args:
        net: the network itself, in evaluation mode.
        sites: the sites that will be cut.
        x: (N, C, *image) the slices that will be run.
        cases: name of each slice's case.
        cut: one of :data:`CUTS`.
        baselines: for ``channel_mean`` and ``mean_map``.
        draws: for ``resample``.
        seed: of the draws.
        output: picks the logits from what the network returns.

    Raises:
        InputError: an unknown cut, missing baselines, a single slice to resample.
    """
    check_cut(cut, cases, baselines, draws)
    if cut == "zero":
        return lambda _site, activation, _part, _draw: torch.zeros_like(activation)
    if cut == "resample":
        others = donors(cases, draws, seed)
        pool = activations(net, sites, x, output)
        return lambda site, activation, part, draw: laid_out(
            pool[site][others[draw, part]], activation
        )
    assert baselines is not None  # as was checked
    like = baselines.like if cut == "channel_mean" else baselines.map_like
    return lambda site, activation, _part, _draw: like(site, activation)


def check_cut(cut: str, cases: Sequence[str], baselines: Baselines | None, draws: int = 5) -> None:
    """Refuse a cut that lacks what it puts in an activation's place.

    Args:
        cut: one of :data:`CUTS`.
        cases: name of each slice's case.
        baselines: for ``channel_mean`` and ``mean_map``.
        draws: for ``resample``.

    Raises:
        InputError: an unknown cut, missing baselines, a single slice to resample.
    """
    if cut not in CUTS:
        raise unknown("cut", cut, CUTS)
    if cut == "zero":
        return
    if cut == "resample":
        donors(cases, draws, 0)
        return
    if baselines is None:
        more = "" if cut == "channel_mean" else ", maps=True"
        raise InputError(
            f"cut {cut!r} needs baselines: give baselines=segtrace.collect(net, sites, "
            f"[training_slices]{more}) with sites=segtrace.describe(net, image).sites, or say "
            "cut='zero'"
        )
    if cut == "mean_map":
        baselines.check_maps()


def activations(
    net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None
) -> dict[str, Tensor]:
    """The activations of all slices, kept in main memory.

    Args:
        net: the network itself, undisturbed.
        sites: the places.
        x: (N, C, *image).
        output: picks the logits from what the network returns.

    Returns:
        Name of a site -> (N, K, *cells).
    """
    found: dict[str, list[Tensor]] = {site.name: [] for site in sites}
    for part in x.split(per_pass(x, SLICES_ON_CPU)):
        for name, activation in observe(net, sites, part, output).activations.items():
            found[name].append(activation.cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}


def donors(cases: Sequence[str], draws: int, seed: int) -> Tensor:
    """For every slice other ones, whose activation takes its place: a resample ablation.

    Args:
        cases: name of each slice's case.
        draws: others for each slice, drawn with replacement.
        seed: of the draws.

    Returns:
        (draws, N) numbers of slices, of another case where there is one.

    Raises:
        InputError: a single slice, which has no other.
    """
    if len(cases) < 2 or draws < 1:
        raise InputError(
            f"resampling {len(cases)} slices {draws} times; it needs at least 2 slices and 1 draw"
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.zeros(draws, len(cases), dtype=torch.long)
    for n, case in enumerate(cases):
        others = [k for k, other in enumerate(cases) if other != case]
        others = others or [k for k in range(len(cases)) if k != n]
        drawn[:, n] = torch.tensor(others)[
            torch.randint(len(others), (draws,), generator=generator)
        ]
    return drawn
