"""Which papers a figure rests on, and their entries for a manuscript's bibliography."""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from segtrace.attribution.rules import Method, Rule

PAPER = "hasany_dos_and_donts"
"""The paper whose Figure 1 the figures continue."""
OF_AGGREGATE = {"minmax": ("mullan2022",), "max": ("mullan2023",)}


def cited(rule: Rule | Method | None, aggregate: str | None = None) -> list[str]:
    """The keys of the papers behind a rule, and behind a way to combine stages."""
    of_rule = () if rule is None else rule.papers
    return [PAPER, *of_rule, *OF_AGGREGATE.get(aggregate or "", ())]


def sentence(rule: Rule | Method | None, aggregate: str | None = None) -> str:
    """Where a caption's reader finds them."""
    return in_words(cited(rule, aggregate))


def in_words(papers: Sequence[str]) -> str:
    """The keys, and where their entries are."""
    return f"Sources in references.bib: {', '.join(papers)}."


@lru_cache(maxsize=1)
def library() -> dict[str, str]:
    """Key -> BibTeX entry, of all the papers that ``references.bib`` beside this file holds."""
    text = files("segtrace.report").joinpath("references.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"^(?=@)", text, flags=re.MULTILINE) if entry]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}


def bibliography(text: str) -> str:
    """The entries of all papers whose keys a text names, as a BibTeX file."""
    return "\n\n".join(entry for key, entry in library().items() if key in text) + "\n"
