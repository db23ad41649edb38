"""How much gradient, and how much of a map, there is at every site: what a ranking is tried by."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import SCORES, Output
from segtrace.attribution.graph import INFERENCE, check, gradients_of
from segtrace.attribution.joints import settled
from segtrace.attribution.labels import refuse_shares
from segtrace.attribution.logits import logits_at
from segtrace.attribution.rules import MapOf, Rule
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.undisturbed import as_input, undisturbed, unwrapped
from segtrace.causal import guards
from segtrace.causal.cutting import Edit, Site, cutting
from segtrace.causal.outcome import Judge
from segtrace.errors import InputError

GRADIENT_NORM = "gradient norm"


@guards.held(guards.aligned)
def sizes_at(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, int],
    rules: Iterable[str | Rule | MapOf] = (),
    *,
    score: str = "logit",
    output: Output | None = None,
) -> dict[str, Tensor]:
    """Σ|∂S/∂A| at every site, and the mean over cells of |map| under every rule.

    Edges as well as stages: the activation and the gradient are those of what passes the site.

    Args:
        net: the network.
        sites: the sites.
        images: (N, C, *image).
        truth: (N, *image) label map; S is the organ's φ(logits) summed over its pixels.
        channels: organ -> channel.
        rules: as :func:`segtrace.trace` takes them; may be empty.
        score: φ.
        output: picks the logits from what the network returns.

    Returns:
        ``gradient norm`` and the names of the rules -> (S, O, N) float64, NaN where the organ is
        absent from the slice, 0 where S does not depend on the site.

    Raises:
        InputError: an unknown rule or score, an organ that is in none of the slices.
    """
    net = unwrapped(net)
    chosen = () if isinstance(rules, Sequence) and not rules else resolve_rules(rules)
    judge = Judge(channels, truth, score).checked(images)
    found: dict[str, list[Tensor]] = {GRADIENT_NORM: [], **{rule.name: [] for rule in chosen}}
    for n in range(len(images)):
        x = as_input(net, images[n : n + 1]).requires_grad_()
        passed: dict[str, Tensor] = {}
        with undisturbed(net, x.device):
            sites = settled(net, sites, x)
            with cutting(net, {site: _kept(site.name, passed) for site in sites}):
                logits = logits_at(net, x, output)
                judge.check(logits, truth[n : n + 1])
                refuse_shares(score, logits)
                scored = SCORES[score](logits)
                check(scored, {f"site {name!r}": passed[name] for name in passed})
                here = _Here(sites, passed, chosen, tuple(x.shape[2:]))
                columns = [
                    here.sizes(scored[0, channel], (truth[n] == channel).to(scored.device))
                    for channel in channels.values()
                ]
        for name, rows in found.items():
            rows.append(torch.stack([column[name] for column in columns], 1))  # (S, O)
    return {name: torch.stack(rows, 2) for name, rows in found.items()}


@guards.held(guards.aligned)
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

    Arguments, result and errors as in :func:`sizes_at`.
    """
    found = sizes_at(net, sites, images, truth, channels, score=score, output=output)
    return found[GRADIENT_NORM]


def _kept(name: str, passed: dict[str, Tensor]) -> Edit:
    def keep(activation: Tensor) -> Tensor:
        if activation.is_inference():
            raise InputError(INFERENCE)
        passed[name] = activation.clone()
        return passed[name]

    return keep


class _Here:
    """What passed the sites on one slice."""

    def __init__(
        self,
        sites: Sequence[Site],
        passed: Mapping[str, Tensor],
        rules: Sequence[Rule],
        image: tuple[int, ...],
    ) -> None:
        self.acts = [passed[site.name] for site in sites]  # (1, K, *cells)
        self.rules, self.image = rules, image

    def sizes(self, scored: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Name -> (S,) of one organ."""
        names = [GRADIENT_NORM, *(rule.name for rule in self.rules)]
        if not mask.any():
            nothing = torch.full((len(self.acts),), torch.nan).double()
            return dict.fromkeys(names, nothing)
        gradients = gradients_of(scored[mask].sum(), self.acts)
        rows = [self._at(a, g) for a, g in zip(self.acts, gradients, strict=True)]
        return {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in names
        }

    def _at(self, activation: Tensor, gradient: Tensor | None) -> dict[str, float]:
        if gradient is None:
            return {GRADIENT_NORM: 0.0, **{rule.name: 0.0 for rule in self.rules}}
        cells = activation.shape[2:]
        stride = tuple(size / cell for size, cell in zip(self.image, cells, strict=True))
        maps = {rule.name: rule(activation.detach(), gradient, stride) for rule in self.rules}
        return {
            GRADIENT_NORM: float(gradient.double().abs().sum()),
            **{name: float(values.double().abs().mean()) for name, values in maps.items()},
        }
