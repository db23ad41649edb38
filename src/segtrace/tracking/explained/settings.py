"""What is explained of a network, and how: rules, region, score, stages, organs."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from segtrace.attribution import targets
from segtrace.attribution.forward import SCORES
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.report.combined import AGGREGATES


@guards.fields(
    rules=guards.rules,
    region=guards.a_name,
    score=guards.a_name,
    stages=guards.optional(guards.names),
    organs=guards.optional(guards.names),
    measures=guards.a_name,
    aggregate=guards.optional(guards.a_name),
    activation=guards.optional(guards.an_activation),
)
@dataclass(frozen=True)
class Settings:
    """What is explained and how; stored in the checkpoint.

    Attributes:
        rules: names of rules, or rules themselves; in YAML ``{_target_: …, window: 4}``.
        region: ``gt`` stays the same over the epochs, so use it to follow a training; ``pred``
            explains what the network decided; ``all`` is plain Grad-CAM; others:
            :func:`segtrace.attribution.targets.organ`.
        score: φ of the explained score: ``logit``, ``centered``, ``logprob`` or ``prob``.
        activation: how logits become a prediction, ``softmax`` or ``sigmoid``; ``None`` where the
            network's number of channels says it.
        stages: names out of the network's stages; ``None`` for all.
        organs: names out of the network's organs; ``None`` for all.
        measures: ``leading``, or ``all`` of them.
        aggregate: ``minmax`` or ``max`` adds a column to the pictures: the maps of all decoder
            stages in one, see :func:`~segtrace.attribution.aggregate.aggregate`; ``minmax_all`` or
            ``max_all`` that of all encoder and decoder stages.

    Raises:
        InputError: no such rule, region, score or way to aggregate; no rule at all.
    """

    rules: list[Any]
    region: str = "gt"
    score: str = "logit"
    stages: list[str] | None = None
    organs: list[str] | None = None
    measures: Literal["leading", "all"] = "leading"
    aggregate: Literal["minmax", "max", "minmax_all", "max_all"] | None = None
    activation: str | None = None

    def __post_init__(self) -> None:
        resolve_rules(self.rules)
        targets.check_region(self.region)
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)
        if self.aggregate is not None and self.aggregate not in AGGREGATES:
            raise unknown("way to aggregate", self.aggregate, AGGREGATES)

    @property
    def rule_names(self) -> tuple[str, ...]:
        """How tables, tags and files call them."""
        return tuple(rule.name for rule in resolve_rules(self.rules))

    def to_plain(self) -> dict[str, Any]:
        """Plain values for a checkpoint; of a rule its name."""
        return asdict(replace(self, rules=list(self.rule_names)))


DEFAULT = Settings(rules=["seg_grad_cam", "grad_pam"])


def under(activation: str | None, settings: Settings) -> Settings:
    """The settings under an activation that is named beside them, if one is.

    Raises:
        InputError: they name another.
    """
    if activation is not None and settings.activation not in (None, activation):
        raise InputError(f"activation={activation}, and {settings.activation} in settings; say one")
    return settings if activation is None else replace(settings, activation=activation)


FAILURES = ("fp", "fn")
"""Regions of an organ where the network was wrong: false positives, false negatives."""


def of_failures(probes: Probes, settings: Settings) -> list[Settings]:
    """The same settings for what the network got wrong, one a region.

    None where there is no truth, or where a part of the error is explained already.
    """
    if probes.labels is None or settings.region not in ("gt", "pred"):
        return []
    return [
        replace(settings, region=region, measures="leading", aggregate=None) for region in FAILURES
    ]
