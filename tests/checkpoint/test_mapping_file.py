"""A YAML file of the user's or of a run's: values, and nothing that is made from them."""

import pytest

from segtrace import InputError
from segtrace.checkpoint.mapping_file import read_mapping

BOMB = """
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
"""


def read(tmp_path, text):
    path = tmp_path / "stages.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path, "stages=stages.yaml")


def test_names_and_places_are_read_as_they_stand(tmp_path):
    found = read(
        tmp_path, "enc1: down_1\nhead: {module: final, layout: nchw}\nskip: [1, 2.5, null]"
    )
    assert found == {"enc1": "down_1", "head": {"module": "final", "layout": "nchw"},
                     "skip": [1, 2.5, None]}  # fmt: skip
    assert read(tmp_path, "") == {}
    assert read(tmp_path, "home: ${oc.env:HOME}") == {"home": "${oc.env:HOME}"}
    assert read(tmp_path, 'red: "\\e[31m"') == {"red": r"\x1b[31m"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.mkdir [ran]", "not readable as YAML: could not determine"),
        ("a: !!python/name:os.system", "not readable as YAML"),
        (BOMB, r"not readable as YAML: an alias \(\*name\) is not allowed"),
        ("a: 1\nb: &b [*b]", r"not readable as YAML: an alias .* \(line 2\)"),
        ("[" * 5000, "not readable as YAML"),
        ("a: [", "not readable as YAML"),
        ("- a", "holds a list; lines of name: value are needed"),
        ("a: 2020-01-01", "holds a date at a"),
        ("1: a", "holds the key 1"),
        ("a: !!binary aGk=", "holds a bytes at a"),
        ("a: !!set {x}", "holds a set at a"),
        ("a: " + "x" * 2**20, "has more than 1 MiB"),
    ],
)
def test_anything_else_is_one_line(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^stages=stages\.yaml:? ?{message}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"edges=e.yaml: No such file"):
        read_mapping(tmp_path / "none.yaml", "edges=e.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        read_mapping(tmp_path, "edges=e.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="not readable as YAML"):
        read_mapping(tmp_path / "latin.yaml", "edges=e.yaml")
