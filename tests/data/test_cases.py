import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from segtrace.data.cases import (
    TEST12,
    TRAIN18,
    VAL3,
    case_name,
    given_split,
    listed_split,
    proposed_split,
    published_split,
    remedy,
)
from segtrace.errors import InputError

CASES = ("0009", "0010", "9001", "9002")


@pytest.mark.parametrize("value", ["0010", "img0010", "case0010", "label0010"])
def test_every_spelling_names_the_same_case(value):
    assert case_name(value, CASES) == "0010"


def test_a_number_of_four_digits_is_its_own_text():
    assert case_name(9001, CASES) == "9001"


def test_a_case_that_is_called_like_a_spelling_is_itself():
    assert case_name("img1", ["img1", "1"]) == "img1"


@pytest.mark.parametrize("value", [8, 10, 17, 9001.0, True, None])
def test_a_name_that_yaml_turned_into_something_else_is_refused(value):
    with pytest.raises(InputError, match=r"quote it"):
        case_name(value, CASES)


def test_an_unknown_case_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no case '9003'; this data set has 0009, 0010, 9001"):
        case_name(9003, CASES)


def test_the_published_split_is_18_and_12_with_three_of_the_18_for_validation():
    split = published_split(sorted(TRAIN18 + TEST12))
    assert [len(split[part]) for part in ("train", "val", "test")] == [15, 3, 12]
    assert split["val"] == ("0027", "0028", "0037")
    assert sorted(split["train"] + split["val"]) == sorted(TRAIN18)
    assert split["test"][:5] == ("0001", "0002", "0003", "0004", "0008")


def test_one_case_more_or_less_is_no_published_data_set():
    cases = TRAIN18 + TEST12
    assert published_split(cases[1:]) is None
    assert published_split((*cases, "9001")) is None


def test_the_lists_split_carves_validation_from_training():
    split = listed_split(TRAIN18, TEST12)
    assert split == {"train": tuple(c for c in TRAIN18 if c not in VAL3), "val": VAL3,
                     "test": TEST12}  # fmt: skip
    assert listed_split(("9001",), ("9002",)) is None


def test_a_given_split_is_resolved_and_may_leave_out_the_test_cases():
    split = given_split({"train": [9001, "img0009"], "val": ["0010"]}, CASES)
    assert split == {"train": ("9001", "0009"), "val": ("0010",), "test": ()}


def test_one_case_may_stand_without_brackets():
    split = given_split({"train": 9001, "val": "img9002"}, CASES)
    assert split == {"train": ("9001",), "val": ("9002",), "test": ()}


@pytest.mark.parametrize("other", ["val", "test"])
def test_a_case_in_two_parts_is_refused(other):
    given = {"train": [9001], "val": [9002]}
    given[other] = [*given.get(other, []), "img9001"]
    with pytest.raises(InputError, match=r"case 9001 is named twice"):
        given_split(given, CASES)


@pytest.mark.parametrize("given", [{"train": [9001]}, {"train": [9001], "val": []}, {}, "9001"])
def test_a_split_without_train_or_val_shows_the_cases_and_the_remedy(given):
    with pytest.raises(InputError) as caught:
        given_split(given, CASES)
    message = str(caught.value)
    assert "cases found: 0009, 0010, 9001, 9002" in message
    assert """'data.split={train: ["0009", "0010", 9001], val: [9002]}'""" in message
    assert "\n" not in message


@pytest.mark.parametrize("part", ["val", "test"])
def test_cases_may_be_named_without_any_to_train_on(part):
    empty = {"train": (), "val": (), "test": ()}
    assert given_split({part: [9001, 9002]}, CASES) == empty | {part: ("9001", "9002")}


@pytest.mark.parametrize(("cases", "held_out"), [(["9001"], ()), (["a", "b"], ["a", "b"])])
def test_of_too_few_cases_no_split_is_proposed_that_cannot_be_typed(cases, held_out):
    assert remedy(cases, held_out) == (
        f"cases found: {', '.join(cases)}; a training takes two and more, to train on and to "
        "validate"
    )


def test_a_misspelt_part_is_named():
    with pytest.raises(InputError, match=r"no part of the split 'valid'.*did you mean val"):
        given_split({"train": [9001], "valid": [9002]}, CASES)


def typed(message):
    """The split that a message proposes, as the shell and Hydra read it."""
    (override,) = shlex.split(message.split("give e.g. ")[1])
    parsed = OverridesParser.create().parse_override(override)
    assert parsed.key_or_group == "data.split"
    return parsed.value()


@pytest.mark.parametrize("missing", ["0001", "0005", "0027", "0040"])
def test_with_a_case_missing_the_published_split_without_it_is_proposed(missing):
    cases = sorted({*TRAIN18, *TEST12} - {missing})
    split = given_split(typed(remedy(cases)), cases)
    assert {*split["train"], *split["val"]} == {*TRAIN18} - {missing}
    assert {*split["test"]} == {*TEST12} - {missing}
    assert {*split["val"]} == {*VAL3} - {missing}


@pytest.mark.parametrize("held_out", [(), TEST12])
@pytest.mark.parametrize(
    "cases",
    [
        sorted(TRAIN18 + TEST12[:1]),
        sorted((*TRAIN18, *TEST12, "9001")),
        sorted(TRAIN18[:3] + TEST12),
        ["0001", "0005", "0006", "0027"],
    ],
)
def test_a_published_test_case_is_proposed_for_nothing_but_the_test(cases, held_out):
    split = given_split(typed(remedy(cases, held_out)), cases)
    assert {*split["train"], *split["val"]}.isdisjoint(TEST12)
    assert {*split["test"]} == {*TEST12} & {*cases}
    assert split["train"]
    assert split["val"]


def test_cases_that_a_source_holds_out_are_proposed_for_nothing_but_the_test():
    split = typed(remedy(["a", "b", "c", "d"], held_out=["d", "a"]))
    assert split == {"train": ["b"], "val": ["c"], "test": ["d", "a"]}


def test_numbers_that_happen_to_be_published_ones_are_not_taken_for_them():
    cases = [f"{number:04d}" for number in range(1, 100)]
    split = proposed_split(cases)
    assert split == {"train": tuple(cases[:-1]), "val": ("0099",), "test": ()}


@pytest.mark.parametrize(
    "names",
    [
        ["0008", "0010", "0017"],
        ["1e5", "null", "true", "7", "off"],
        ["case 1", "a:b", "c,d", "é", "[x]", "-1", "img-001"],
        ["it's", 'say "a"'],
    ],
)
def test_a_proposal_can_be_typed_whatever_the_names(names):
    assert given_split(typed(remedy(names)), names) == proposed_split(names)
