"""Which rules there are by name, and what is meant by a name, an object or a function."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from segtrace.attribution.rules.plain import element_wise, grad_pam, layer_cam, seg_grad_cam
from segtrace.attribution.rules.rule import MapOf, OwnRule, Rule
from segtrace.attribution.rules.windowed import seg_xres_cam
from segtrace.errors import InputError, unknown
from segtrace.network import guards

RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (seg_grad_cam, grad_pam, replace(seg_xres_cam(), name="seg_xres_cam"), layer_cam)
}
"""The rules asked for by name; ``seg_xres_cam`` is the one with mean windows of 2 cells."""
_WINDOWED = re.compile(r"seg_xres_cam_(\d+)(_max)?(px)?(_authors)?")


def by_name(names: Iterable[str]) -> dict[str, Rule]:
    """Name -> rule of those that are ours, as tables and files name them; others are left out.

    >>> [rule.title for rule in by_name(["grad_pam", "seg_xres_cam_4_max", "mine"]).values()]
    ['Grad-PAM', 'Seg-XRes-CAM, max of 4 cells']
    """
    found = {name: _by_name(name) for name in names}
    return {name: rule for name, rule in found.items() if rule is not None}


def _by_name(name: str) -> Rule | None:
    if windowed := _WINDOWED.fullmatch(name):
        window, largest, pixels, authors = windowed.groups()
        return seg_xres_cam(
            int(window),
            "max" if largest else "mean",
            "pixels" if pixels else "cells",
            "authors" if authors else "blocks",
        )
    return RULES.get(name)


@guards.held()
def resolve(rules: Iterable[str | Rule | MapOf] | str | Rule | MapOf) -> tuple[Rule, ...]:
    """The rules meant by names, by :class:`Rule` objects, by functions, or by a mixture.

    Raises:
        InputError: an unknown name, the same name twice, or no rule at all.
    """
    several = [rules] if isinstance(rules, str) or callable(rules) else list(rules)
    found = [_rule(rule) for rule in several]
    names = [rule.name for rule in found]
    if not names or len(set(names)) < len(names):
        raise InputError(f"rules are {names}; give at least one, each once")
    return tuple(found)


def _rule(rule: str | Rule | MapOf) -> Rule:
    if isinstance(rule, Rule):
        return rule
    guards.a_rule("a rule", rule)
    if callable(rule):
        function = getattr(rule, "func", rule)  # of a partial, which has no name
        name = getattr(function, "__name__", type(rule).__name__)
        return OwnRule(name, element_wise, map=rule)
    found = _by_name(rule)
    if found is None:
        raise unknown("rule", rule, RULES)
    return found
