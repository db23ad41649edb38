"""The bibliography beside printed figures: well-formed, complete, and no more than is cited."""

import re

import pytest

from segtrace.attribution.rules import RULES
from segtrace.report.combined import SCALED
from segtrace.report.references import bibliography, cited, library

NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "howpublished"},
}


@pytest.mark.parametrize("key", library())
def test_an_entry_is_well_formed(key):
    entry = library()[key]
    kind, name = re.match(r"@(\w+)\{(\w+),\n", entry).groups()
    fields = re.findall(r"^  (\w+) = \{(.+)\},?$", entry, re.MULTILINE)
    assert name == key
    assert {field for field, _ in fields} >= NEEDED[kind]
    assert len(fields) == entry.count("\n") - 1  # every line but the first and last is a field
    assert entry.count("{") == entry.count("}")
    assert entry.endswith("}\n}")
    # A comma ends every field but the last.
    lines = entry.splitlines()[1:-1]
    assert [line.endswith(",") for line in lines] == [True] * (len(lines) - 1) + [False]


def test_every_built_in_rule_and_equation_has_a_source():
    for rule in RULES.values():
        assert rule.papers
        assert rule.equation
        for how in (None, *SCALED):
            assert set(cited(rule, how)) <= set(library())


def test_only_what_is_named_is_written():
    written = bibliography("Sources in references.bib: wan2020, draelos2020.")
    assert re.findall(r"^@\w+\{(\w+),", written, re.MULTILINE) == ["wan2020", "draelos2020"]


def test_a_users_own_rule_rests_on_the_paper_alone():
    assert cited(None) == ["hasany_dos_and_donts"]
