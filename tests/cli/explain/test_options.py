"""Every key of conf/explain.yaml has a kind; another value is one line before any work."""

import shlex

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.cli.explain.options import KINDS, check_options

GIVEN = yaml.safe_load((ROOT / "conf" / "explain.yaml").read_text())
DEFAULTS = {key: value for key, value in GIVEN.items() if key not in ("defaults", "hydra")}


def test_every_key_of_the_yaml_has_a_kind_and_the_yaml_is_of_these_kinds():
    assert set(KINDS) == {*DEFAULTS, "data", "study"}
    check_options(DEFAULTS | {"data": None, "study": None})


@pytest.mark.parametrize("value", [3, 2.5, True, [1, 2], ["a", 1], [], "", {"a": 1}, [["a"]]])
@pytest.mark.parametrize("option", ["checkpoint", "organs", "rules", "stages"])
def test_names_are_text(option, value):
    with pytest.raises(InputError, match=rf"^{option}=.*; give .*, as text") as caught:
        check_options({option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [3, 2.5, False, ["a"], "", {"a": 1}])
@pytest.mark.parametrize(
    "option", ["net", "weights", "edges", "untrained", "image", "log_dir", "region", "score"]
)
def test_files_and_words_are_text(option, value):
    with pytest.raises(InputError, match=rf"^{option}=.*; give .*, as text"):
        check_options({option: value})


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("seed", -1, "seed=-1; give a whole number, 0 or more"),
        ("seed", 2**33, "whole number"),
        ("seed", True, "whole number"),
        ("seed", 1.0, "whole number"),
        ("seed", None, "seed=null"),
        ("measures", "some", "measures='some'; give leading or all"),
        ("measures", ["all"], "leading or all"),
        ("aggregate", "mean", "minmax, max, minmax_all or max_all"),
        ("probes", 3, "n and from, one by one"),
        ("probes", None, "probes=null"),
        ("trainer", "gpu", "its options one by one"),
        ("trainer", ["gpu"], "its options one by one"),
        ("data", "synapse", "the name of a data set"),
        ("study", 3, "the name of a study"),
    ],
)
def test_a_value_of_another_kind_is_named_with_what_it_may_be(option, value, words):
    with pytest.raises(InputError) as caught:
        check_options({option: value})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("log_dir", 2024, "2024"),
        ("image", 1.5, "1.5"),
        ("checkpoint", [1, "b=c.ckpt"], ["1", "b=c.ckpt"]),
        ("organs", [1, 2], ["1", "2"]),
    ],
)
def test_a_name_that_looks_like_a_number_is_told_how_to_type(option, value, meant):
    with pytest.raises(InputError) as caught:
        check_options({option: value})
    (typed,) = shlex.split(str(caught.value).rpartition(": ")[2])
    again = OverridesParser.create().parse_override(typed)
    assert (again.key_or_group, again.value()) == (option, meant)
    check_options({option: meant})


def test_what_may_be_given_passes():
    check_options(
        {"checkpoint": "a.ckpt", "organs": "liver", "stages": ["enc1"], "seed": 2**32 - 1,
         "aggregate": "max", "measures": None}
    )  # fmt: skip
