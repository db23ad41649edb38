"""A flow of images that a network sees window by window."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from time import monotonic

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.flow import KAPPA_DEGENERATE, Flow, Status, worst
from segtrace.attribution.forward import SCORES, TargetsLike, agreed, named, weights_of
from segtrace.attribution.rules import MapOf, Rule
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.sliding.outlook import announce_maps, announce_pass
from segtrace.attribution.sliding.stitching import Stitched
from segtrace.attribution.sliding.windows import Sliding, Windows, first_window
from segtrace.attribution.trace import trace
from segtrace.attribution.weights import Weights
from segtrace.axes import sized
from segtrace.errors import InputError
from segtrace.network.labels import refuse_shares
from segtrace.network.logits import Output, logits_at
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import clock, counted, over, say


def trace_windows(
    net: nn.Module,
    stages: StagesLike | Sequence[Site],
    image: Tensor,
    target: TargetsLike,
    rules: Iterable[str | Rule | MapOf] = ("seg_grad_cam",),
    score: str = "logit",
    *,
    sliding: Sliding,
    output: Output | None = None,
    activation: str | None = None,
) -> Flow:
    """As :func:`segtrace.trace`, of images that are larger than what the network takes at once.

    The logits are stitched first, and the target is weights over those: its regions are of the
    whole image. Every window is then traced by itself, for its part of these weights, and its maps
    are stitched, see :mod:`~segtrace.attribution.sliding.stitching`. A stitched map therefore is a
    weighted mean of the maps of windows: what a rule averages, as Seg-Grad-CAM does the gradient,
    it averages over each window, and a window that holds no part of the region counts with zeros.
    One window that is the whole image gives what :func:`segtrace.trace` gives, to the bit.

    Of the numbers, ``scores`` and ``region_px`` are of the stitched logits; ``gradient_l1`` is the
    sum over windows, ``kappa`` the mean over windows weighted by it. A map is disconnected where it
    is so in every window that holds the region, and not finite where one window is not.

    Args:
        net: see there.
        stages: see there, as all that is not said here; not ``"proposed"``.
        image: (N, C, *image).
        target: see there; a tensor is weights over the logits of the whole image.
        rules: see there; none that holds activations against references.
        score: see there.
        sliding: how the image is gone through.
        output: see there.
        activation: see there.

    Raises:
        InputError: see there; logits of another size than the window; more memory than is free.
    """
    net, chosen = unwrapped(net), resolve_rules(rules)
    windows = sliding.windows(image.shape[2:])
    if windows.alone:
        return trace(
            net, stages, image, target, chosen, score, output=output, activation=activation
        )
    for rule in chosen:
        if rule.reference is not None:
            raise InputError(
                f"rule {rule.name!r} holds activations against those of whole images, which "
                "windows have not; explain the windows one by one, or leave it out"
            )
    targets, x = named(target), as_input(net, image)
    every = Sites.of(net, stages, None)
    announce_pass(net, windows, x)

    def traced(part: Tensor, shares: Mapping[str, Weights]) -> Flow:
        found = trace(net, every, part, shares, chosen, score, output=output, activation=activation)
        return found.cpu()

    began = monotonic()
    # Of no region: how many cells each site has, and what stands where there is no evidence.
    blank = traced(first_window(sliding, x), dict.fromkeys(targets, Weights({})))
    forward = monotonic() - began
    cells = {site: maps.shape[3:] for site, maps in blank.maps.items()}
    kind = next(iter(blank.maps.values())).dtype
    announce_maps(windows, cells, len(chosen) * len(targets) * len(x), kind)
    places = [*product(range(len(x)), windows.starts)]
    say(f"Predicting {counted(len(places), 'window')}", forward * len(places))
    with undisturbed(net, x.device), torch.no_grad():
        logits = sliding.logits(x, partial(_predicted, net, output))
    activation = agreed(activation, targets, logits)
    refuse_shares(score, logits, activation)
    weights = {name: weights_of(name, own, logits, activation) for name, own in targets.items()}
    scored = SCORES[score](logits, activation)
    volumes = [_Volume(windows, blank) for _ in x]
    back = sum(_present(windows, own, *place) for own in weights.values() for place in places)
    about = clock(forward * (len(places) + 2 * back))
    words = (
        f"Explaining {counted(len(places), 'window')}, an organ at a time: {back}, about {about}"
    )
    for n, start in over(places, words):
        shares = {name: windows.share(own, n, start) for name, own in weights.items()}
        some = any(_present(windows, own, n, start) for own in weights.values())
        volumes[n].add(start, traced(windows.of(x[n : n + 1], start), shares) if some else None)
    evidence = [volume.flow(chosen) for volume in volumes]
    scores = torch.stack([own.score(scored) for own in weights.values()]).cpu()
    region_px = torch.stack([own.pixels(scored) for own in weights.values()]).cpu()
    finite = scored.flatten(1).isfinite().all(1).cpu() & scores.isfinite()
    status = torch.cat([own.status for own in evidence], -1)
    status = status.masked_fill(region_px == 0, Status.ABSENT)
    return replace(
        blank,
        maps={site: torch.cat([own.maps[site] for own in evidence], 2) for site in blank.maps},
        kappa=torch.cat([own.kappa for own in evidence], -1),
        gradient_l1=torch.cat([own.gradient_l1 for own in evidence], -1),
        status=status.masked_fill(~finite, Status.NONFINITE),
        scores=scores,
        region_px=region_px,
        prediction=predicted(logits, activation).cpu(),
    )


def _present(windows: Windows, weights: Weights, n: int, start: Sequence[int]) -> bool:
    """Whether a window holds any of a region."""
    return any(bool(plane.any()) for plane in windows.share(weights, n, start).planes.values())


def _predicted(net: nn.Module, output: Output | None, part: Tensor) -> Tensor:
    logits = logits_at(net, part, output)
    if logits.shape[2:] != part.shape[2:]:
        raise InputError(
            f"the logits of a window of {sized(part.shape[2:])} have "
            f"{sized(logits.shape[2:])} voxels, which are not stitched here; let "
            "output= enlarge them to the window"
        )
    return logits


class _Volume:
    """The evidence of one image, which grows window by window."""

    def __init__(self, windows: Windows, blank: Flow) -> None:
        cells = {site: maps.shape[3:] for site, maps in blank.maps.items()}
        some = next(iter(blank.maps.values()))
        self._stitched = Stitched(windows, cells, some.shape[:3], some.dtype)
        self._seen = [replace(blank, maps={})]

    def add(self, start: Sequence[int], flow: Flow | None) -> None:
        """What a window shows; ``None`` where it holds no region."""
        self._stitched.add(start, None if flow is None else flow.maps)
        if flow is not None:
            self._seen.append(replace(flow, maps={}))

    def flow(self, rules: Sequence[Rule]) -> Flow:
        """Of all windows."""
        maps = self._stitched.maps()
        status = torch.stack([flow.status for flow in self._seen])  # (W, S, R, O, 1)
        kappas = torch.stack([flow.kappa for flow in self._seen])  # (W, S, O, 1)
        l1 = torch.stack([flow.gradient_l1 for flow in self._seen])
        total = l1.sum(0)
        kappa = (kappas.nan_to_num() * l1).sum(0) / total
        # Degenerate though its gradient does not cancel: so by the network's structure.
        built = (status == Status.GAP_DEGENERATE) & (kappas >= KAPPA_DEGENERATE)[:, :, None]
        averages = torch.tensor([rule.averages for rule in rules])[:, None, None]
        there = status != Status.ABSENT
        holds = {
            Status.DEAD: torch.stack([(own <= 0).flatten(3).all(3) for own in maps.values()]),
            Status.GAP_DEGENERATE: averages & (kappa < KAPPA_DEGENERATE)[:, None] | built.any(0),
            Status.GRADIENT_CUT: (status == Status.GRADIENT_CUT).any(0),
            Status.DISCONNECTED: ((status == Status.DISCONNECTED) | ~there).all(0) & there.any(0),
            Status.NONFINITE: (status == Status.NONFINITE).any(0),
        }
        found = worst(holds, status.shape[1:], status.device)
        return replace(self._seen[0], maps=maps, kappa=kappa, gradient_l1=total, status=found)
