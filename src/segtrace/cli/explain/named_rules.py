"""Rules as the command line names them: by name, or by a class or function and its options."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import instantiate

from segtrace.errors import InputError
from segtrace.network.guards import a_rule
from segtrace.training.construction import built


def rules_of(asked: Sequence[Any]) -> list[Any]:
    """Rules as they are named: names stay, what names a class or function is called.

    Raises:
        InputError: it refuses its options, or makes no rule.
    """
    made = []
    for i, rule in enumerate(asked):
        if isinstance(rule, Mapping):
            where = f"rules[{i}]"
            node = {"_target_": None, **rule}
            if not isinstance(node["_target_"], str):
                raise InputError(f"{where} names nothing; give its _target_=package.function")
            rule = built(where, node, lambda n: instantiate(dict(n), _convert_="all"))
            a_rule(where, rule)
        made.append(rule)
    return made
