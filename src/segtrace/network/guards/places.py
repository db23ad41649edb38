"""Places in a network: stages and edges by name, or resolved, or proposed."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from segtrace.errors import InputError, unknown, wrong
from segtrace.network.guards.values import a_name, names

PROPOSED = "proposed"
"""In the place of stages or edges: take what is proposed for a network that is in no table."""
NEARLY = 0.7
"""How alike a word is that is taken for a misspelt one; an organ's may be less so."""


def places(name: str, value: Any) -> None:
    """Stages or edges: a mapping, a list of names, or ``None``."""
    if isinstance(value, Mapping):
        for one in value:
            a_name(f"a name in {name}", one)
    elif isinstance(value, str) and value == PROPOSED:
        raise InputError(
            f"{name} is 'proposed', which needs an image; give segtrace.describe(net, image).sites"
        )
    elif value is not None:
        names(name, value)


def places_or_proposed(name: str, value: Any) -> None:
    """The same, or the word that asks for a proposal."""
    refuse_misspelt(name, value, ["a mapping", "a list of names"])
    if not (isinstance(value, str) and value == PROPOSED):
        places(name, value)


def refuse_misspelt(name: str, value: Any, others: Sequence[str]) -> None:
    """Refuse a word that is nearly the one which asks for a proposal.

    Args:
        name: of the argument.
        value: given for it.
        others: what may stand there beside that word.
    """
    near = isinstance(value, str) and get_close_matches(value.lower(), [PROPOSED], cutoff=NEARLY)
    if near and value != PROPOSED:
        raise unknown(name, value, [PROPOSED, *others])


def places_or_sites(name: str, value: Any) -> None:
    """The same, or stages and edges that are resolved."""
    if not _are_sites(value):
        places_or_proposed(name, value)


def named_or_resolved(name: str, value: Any) -> None:
    """Edges, by name or resolved, beside which there may be stages; no proposal."""
    if not _are_sites(value):
        places(name, value)


def some_or_none(name: str, value: Any) -> None:
    """Edges, of which there must be some, or ``None`` for those of the table."""
    named_or_resolved(name, value)
    if value is not None and not value:
        raise InputError(f"{name} is empty: no edge is named; give some, or None")


def sites(name: str, value: Any) -> None:
    """What is cut or looked at: stages and edges, resolved."""
    wanted = "stages and edges, as segtrace.sites_of(net, …) returns them"
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise wrong(name, value, wanted)
    if not value:
        raise InputError(f"{name} is empty: no site is named; give at least one stage or edge")
    for one in value:
        if not _is_site(one):
            raise wrong(f"one of {name}", one, wanted)


def _are_sites(value: Any) -> bool:
    several = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return several and all(map(_is_site, value))


def _is_site(value: Any) -> bool:
    return hasattr(value, "module") and hasattr(value, "name")
