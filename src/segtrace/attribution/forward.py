"""The forward pass: activations of the stages and logits, in one graph."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from segtrace.attribution.graph import check
from segtrace.attribution.logits import Output, logits_of, sent
from segtrace.attribution.stages import Stage, recording
from segtrace.attribution.targets import ChannelTarget, Target
from segtrace.attribution.weights import Weights
from segtrace.errors import InputError, shown

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
    net: nn.Module, stages: Sequence[Stage], x: Tensor, output: Output | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Activations of the stages by name, as the network made them, and the logits: one graph.

    Raises:
        InputError: an image that the network does not take; a stage that did not run or does not
            depend on the input; logits that are not (N, channels, *image) or have no gradient;
            re-entrant checkpointing.
    """
    with recording(net, stages) as record:
        returned = sent(net, x)
    if overwritten := record.overwritten():
        # Run again, passing copies on, so that the record keeps what the stage itself put out.
        with recording(net, stages, cloned=overwritten) as record:
            returned = sent(net, x)
    for stage in stages:
        if stage.name not in record.outputs:
            raise InputError(f"stage {stage.name!r} ({stage.module}) did not run")
    acts = {stage.name: record.outputs[stage.name] for stage in stages}
    logits = logits_of(returned, x, output)
    check(logits, {f"stage {stage.name!r} ({stage.module})": acts[stage.name] for stage in stages})
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
