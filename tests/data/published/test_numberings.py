import pytest

from segtrace.data.labels import BTCV, TRANSUNET, organ_table
from segtrace.data.published.numberings import NUMBERINGS, numbering_of
from segtrace.errors import InputError


def test_the_four_orders_of_synapse_are_those_of_their_files():
    # raw number -> number in the files, as each preparation maps them
    transunet = {8: 1, 4: 2, 3: 3, 2: 4, 6: 5, 11: 6, 1: 7, 7: 8}
    cascade = {1: 1, 2: 2, 3: 3, 4: 4, 11: 5, 6: 6, 7: 7, 8: 8}
    samed = {1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 7: 6, 8: 7, 11: 8}
    for name, mapped in (("transunet", transunet), ("cascade", cascade), ("samed", samed)):
        assert {BTCV[organ]: number for organ, number in NUMBERINGS[name].items()} == mapped
    assert NUMBERINGS["transunet"] == TRANSUNET
    assert NUMBERINGS["btcv"] == BTCV


@pytest.mark.parametrize("name", NUMBERINGS)
def test_a_numbering_counts_from_one_and_knows_the_organs_of_the_tables(name):
    numbering = numbering_of(name)
    assert sorted(numbering.values()) == list(range(1, len(numbering) + 1))
    assert list(organ_table("synapse8", numbering)) == list(TRANSUNET)


def test_a_table_of_ones_own_is_taken_as_it_is():
    assert numbering_of({"liver": 6}) == {"liver": 6}
    numbering_of("btcv")["liver"] = 1
    assert NUMBERINGS["btcv"]["liver"] == 6


@pytest.mark.parametrize(
    ("labels", "words"),
    [("transunnet", "did you mean transunet"), (["liver"], "or one of transunet"), ({}, "empty")],
)
def test_what_is_no_numbering_is_refused(labels, words):
    with pytest.raises(InputError, match=words):
        numbering_of(labels)
