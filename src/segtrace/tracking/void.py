"""Rules that a network's normalisation makes void: told once at the start, and led by another."""

from dataclasses import replace

from torch import Tensor, nn

from segtrace.attribution.flow import unnormalised
from segtrace.attribution.forward import forward
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.network.logits import Output
from segtrace.network.stages import StagesLike, resolve
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.report.captions import title_of
from segtrace.tracking.explained import DEFAULT, Settings

OTHER = "grad_pam"
"""The rule to ask for where all that were asked for are void."""


def void_told(
    net: nn.Module,
    stages: StagesLike,
    image: Tensor,
    settings: Settings,
    output: Output | None = None,
) -> tuple[Settings, str | None]:
    """What is said of rules that are void at some stages, and settings in which another leads.

    An instance normalisation behind a stage subtracts every channel's mean, and the gradient's
    average with it: what a rule that averages draws there is residue. It is the network that
    decides this, and no slice. Rules that the user put into an order stay in it.

    Args:
        net: the network.
        stages: as :func:`segtrace.trace` takes them.
        image: (N, C, *image), as the network takes it; one slice is sent through.
        settings: what is explained.
        output: picks the logits from what the network returns.

    Raises:
        InputError: see :func:`segtrace.attribution.forward.forward`.
    """
    rules = resolve_rules(settings.rules)
    averaging = [rule.name for rule in rules if rule.averages]
    if not averaging:
        return settings, None
    net = unwrapped(net)
    places = resolve(net, stages)
    x = as_input(net, image[:1])
    with undisturbed(net, x.device):
        bare = unnormalised(*forward(net, places, x.clone().requires_grad_(), output))
    void = sum(place.name not in bare for place in places)
    if not void:
        return settings, None
    others = [rule.name for rule in rules if not rule.averages]
    read = (
        f"{title_of(others[0])} is the rule to read"
        if others
        else f"read another one: rules=[{averaging[0]},{OTHER}]"
    )
    line = (
        f"At {void} of {len(places)} stages {' and '.join(map(title_of, averaging))} "
        f"{'is' if len(averaging) == 1 else 'are'} void, since instance normalisation cancels the "
        f"averaged gradient; {read}"
    )
    if settings.rule_names != DEFAULT.rule_names:
        return settings, line
    return replace(settings, rules=[*others, *averaging]), line
