"""The forward pass: what passed the sites, and logits, in one graph."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from segtrace.activation import (
    LOG_PROBABILITY,
    PROBABILITY,
    SIGMOID,
    Organ,
    OrganLike,
    organs_of,
)
from segtrace.attribution.targets import ChannelTarget, Predicted, Target
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, shown
from segtrace.network.edges import in_words
from segtrace.network.graph import check
from segtrace.network.hooks import record
from segtrace.network.logits import Output, found_activation, logits_at, logits_of, sent
from segtrace.network.sites import Site
from segtrace.network.stages import why_idle


def _centred(logits: Tensor, activation: str) -> Tensor:
    if activation == SIGMOID:
        raise InputError(
            "score 'centered' takes off what all channels share, which changes nothing behind a "
            "softmax and does behind a sigmoid: say score='logit'"
        )
    return logits - logits.mean(1, keepdim=True)


SCORES: Mapping[str, Callable[[Tensor, str], Tensor]] = {
    "logit": lambda logits, _activation: logits,
    "centered": _centred,
    "logprob": lambda logits, activation: LOG_PROBABILITY[activation](logits),
    "prob": lambda logits, activation: PROBABILITY[activation](logits),
}
"""φ of the score Σ weights · φ(logits), of logits and their activation. ``centered`` and ``prob``
of a softmax do not change when the same map is added to every logit, as the prediction does not;
``logit``, the paper's, does."""

TargetsLike = Mapping[str, Target | Tensor] | Target | Tensor


def forward(
    net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """What passed the sites, and the logits, in one graph of autograd.

    Args:
        net: the network itself, undisturbed.
        sites: the places; edges settled.
        x: (n, C, *image), which asks for a gradient.
        output: picks the logits from what the network returns.

    Returns:
        Name of a site -> what passed there, as the network lays it out; logits (n, channels,
        *image).

    Raises:
        InputError: an image that the network does not take; a site that did not run or does not
            depend on the input; logits that are not (N, channels, *image) or have no gradient;
            re-entrant checkpointing.
    """
    with record(net, sites) as found:
        returned = sent(net, x)
    if overwritten := found.overwritten():
        # Run again, passing copies on, so that the record keeps what passed the site itself.
        with record(net, sites, cloned=overwritten) as found:
            returned = sent(net, x)
    words = {site.name: f"{in_words(site)} ({site.module})" for site in sites}
    for name, place in words.items():
        if name not in found.passed:
            raise InputError(f"{place} did not run{why_idle(net)}")
    acts = {name: found.passed[name] for name in words}
    logits = logits_of(returned, x, output, net)
    placed = {words[name]: tensor for name, tensor in acts.items()}
    check(logits, placed, lambda place: _moves(net, sites, x, place, placed[place]))
    return acts, logits


def _moves(net: nn.Module, sites: Sequence[Site], x: Tensor, place: str, seen: Tensor) -> bool:
    """Whether what passes a site changes with the image, whatever its gradient says."""
    (site,) = (one for one in sites if place == f"{in_words(one)} ({one.module})")
    image = x.detach()
    ramp = torch.linspace(0.1, 1, image.numel(), device=image.device).view_as(image)
    with torch.no_grad(), record(net, [site]) as found:
        sent(net, image + ramp.to(image.dtype))
    return not torch.equal(found.passed[site.name], seen)


def named(target: TargetsLike) -> dict[str, Target | Tensor]:
    """Organ -> target; a single one is called ``target``.

    Raises:
        InputError: no target at all.
    """
    targets = dict(target) if isinstance(target, Mapping) else {"target": target}
    if not targets:
        raise InputError("no organ is named; give at least one target")
    return targets


def agreed(activation: str | None, targets: Mapping[str, Target | Tensor], logits: Tensor) -> str:
    """The activation that was asked for, or that the targets name, or of these logits.

    Raises:
        InputError: two different ones; see :func:`segtrace.network.logits.found_activation`.
    """
    named = {own for one in targets.values() if (own := getattr(one, "activation", None))}
    said = sorted(named | ({activation} if activation else set()))
    if len(said) > 1:
        raise InputError(f"activation is {' and '.join(said)}; the logits have one: say it once")
    return found_activation(logits, said[0] if said else None)


def settled_organs(
    net: nn.Module,
    x: Tensor,
    channels: Mapping[str, OrganLike],
    activation: str | None,
    output: Output | None = None,
) -> tuple[Tensor, str, dict[str, Organ]]:
    """Logits of one of some slices x (N, C, *image), repeated; their activation, and the organs.

    Raises:
        InputError: see :func:`segtrace.network.logits.found_activation` and
            :func:`segtrace.activation.organs_of`.
    """
    logits = logits_at(net, x[:1], output).detach()
    known = found_activation(logits, activation)
    organs = organs_of(channels, known, logits.shape[1])
    return logits.expand(len(x), *logits.shape[1:]), known, organs


def weights_of(
    name: str, target: Target | Tensor, logits: Tensor, activation: str | None = None
) -> Weights:
    """The target's weights over these logits, shape checked.

    Raises:
        InputError: weights of another shape than the logits.
    """
    if isinstance(target, Weights):
        return target
    if isinstance(target, ChannelTarget | Predicted):
        return target.weights(logits.detach(), activation)
    weights: object = target if isinstance(target, Tensor) else target(logits.detach())
    if not isinstance(weights, Tensor):
        raise InputError(
            f"the target of {name!r} returns {shown(weights)}; a tensor of the logits' shape "
            f"{tuple(logits.shape)} is needed"
        )
    if weights.shape != logits.shape:
        raise InputError(
            f"the target of {name!r} has shape {tuple(weights.shape)}; "
            f"the logits have {tuple(logits.shape)}"
        )
    return Weights.of(weights.detach().to(logits))
