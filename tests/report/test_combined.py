import pytest

from segtrace.attribution.aggregate import aggregate
from segtrace.report.combined import SCALED, counted, explained, listed


def test_it_is_said_how_many_stages_went_in(flow):
    combined = aggregate(flow, ["enc1", "enc2", "head"])
    assert counted(combined, (1, 1, 0)) == "3 of 3 stages"
    assert counted(combined, (0, 1, 0)) == "2 of 3 stages"  # the head is degenerate there
    assert counted(combined, (0, 2, 0)) == "0 of 3 stages"  # no spleen


@pytest.mark.parametrize("how", SCALED)
def test_every_way_that_pictures_offer_is_in_words(flow, how):
    words = explained(aggregate(flow, ["enc1", "head"], how))
    assert words.startswith("aggregate: mean of the maps of enc1 and head, each ")


def test_one_name_stands_alone():
    assert listed(["dec1"]) == "dec1"
