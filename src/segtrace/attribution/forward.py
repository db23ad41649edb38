"""The forward pass: what passed the sites, and logits, in one graph."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from segtrace.attribution.targets import ChannelTarget, Target
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, shown
from segtrace.network.edges import in_words
from segtrace.network.graph import check
from segtrace.network.hooks import record
from segtrace.network.logits import Output, logits_of, sent
from segtrace.network.sites import Site

SCORES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda logits: logits,
    "centered": lambda logits: logits - logits.mean(1, keepdim=True),
    "logprob": lambda logits: logits.log_softmax(1),
    "prob": lambda logits: logits.softmax(1),
}
"""φ of the score Σ weights · φ(logits). ``centered`` and ``prob`` do not change when the same map
is added to every logit, as the prediction does not; ``logit``, the paper's, does."""

TargetsLike = Mapping[str, Target | Tensor] | Target | Tensor


def forward(
    net: nn.Module, sites: Sequence[Site], x: Tensor, output: Output | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """What passed the sites, by name, as the network made it, and the logits: one graph.

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
            raise InputError(f"{place} did not run")
    acts = {name: found.passed[name] for name in words}
    logits = logits_of(returned, x, output, net)
    check(logits, {words[name]: tensor for name, tensor in acts.items()})
    return acts, logits


def named(target: TargetsLike) -> dict[str, Target | Tensor]:
    """Organ -> target; a single one is called ``target``.

    Raises:
        InputError: no target at all.
    """
    targets = dict(target) if isinstance(target, Mapping) else {"target": target}
    if not targets:
        raise InputError("no organ is named; give at least one target")
    return targets


def weights_of(name: str, target: Target | Tensor, logits: Tensor) -> Weights:
    """The target's weights over these logits, shape checked.

    Raises:
        InputError: weights of another shape than the logits.
    """
    if isinstance(target, ChannelTarget):
        return target.weights(logits.detach())
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
