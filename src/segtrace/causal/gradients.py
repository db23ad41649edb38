"""The size of the gradient at every site: a control, which any predictor of a cut must beat."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import SCORES, Output, logits_of
from segtrace.attribution.undisturbed import as_input, undisturbed, unwrapped
from segtrace.causal.cutting import Edit, Site, cutting
from segtrace.causal.outcome import Judge


def gradient_norms(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, int],
    *,
    score: str = "logit",
    output: Output | None = None,
) -> Tensor:
    """(S, O, N) Σ|∂S/∂A| at every site: a control that any predictor must beat.

    Args:
        net: the network.
        sites: the sites.
        images: (N, C, H, W).
        truth: (N, H, W) label map; S is the organ's φ(logits) summed over its pixels.
        channels: organ -> channel.
        score: φ.
        output: picks the logits from what the network returns.

    Returns:
        NaN where the organ is absent from the slice; 0 where S does not depend on the site.
    """
    net = unwrapped(net)
    masks = Judge(channels, truth, score).checked().masks
    columns = []
    for n in range(len(images)):
        x = as_input(net, images[n : n + 1]).requires_grad_()
        passed: dict[str, Tensor] = {}
        with undisturbed(net, x.device), cutting(net, {s: _kept(s.name, passed) for s in sites}):
            scored = SCORES[score](logits_of(net(x), x, output))
            columns.append(
                _norms(scored[0], masks[:, n], channels, [passed[s.name] for s in sites])
            )
    return torch.stack(columns, 2)


def _kept(name: str, passed: dict[str, Tensor]) -> Edit:
    def keep(activation: Tensor) -> Tensor:
        passed[name] = activation.clone()
        return passed[name]

    return keep


def _norms(
    scored: Tensor, masks: Tensor, channels: Mapping[str, int], acts: Sequence[Tensor]
) -> Tensor:
    """(S, O) of one slice."""
    columns = []
    for mask, channel in zip(masks, channels.values(), strict=True):
        if not mask.any():
            columns.append(torch.full((len(acts),), torch.nan).double())
            continue
        total = scored[channel][mask.to(scored.device)].sum()
        found = torch.autograd.grad(total, list(acts), retain_graph=True, allow_unused=True)
        sizes = [0.0 if g is None else float(g.double().abs().sum()) for g in found]
        columns.append(torch.tensor(sizes, dtype=torch.float64))
    return torch.stack(columns, 1)
