"""What an epoch claims of networks that learnt nothing: on at most 5 % of pages and texts.

Epochs of real networks, over 12 cases, beside an untrained network: another untrained one; one
trained on labels of other slices, which learns where organs usually lie, and no more.
"""

import pytest
from scipy.stats import binomtest

from helpers.nothing_learned import claims, taught, untrained
from segtrace.report.claims.claim import FOUND

KINDS = ("headline", "leak", "route")
NETWORKS = 20

pytestmark = pytest.mark.long


def rare(pages):
    """Whether so many pages with a claim are what 5 % would give."""
    return binomtest(sum(pages), len(pages), 0.05, "greater").pvalue > 0.05


def test_untrained_networks_make_no_claims():
    found = [claims(untrained(seed), untrained(1000 + seed))[0] for seed in range(8)]
    for kind in KINDS:
        assert rare([bool(page[kind]) for page in found]), kind


def test_networks_taught_with_labels_of_other_slices_make_no_claims():
    found = [claims(untrained(seed), taught(seed, shuffled=True)) for seed in range(NETWORKS)]
    in_place = [max(dice.values()) >= FOUND for _, dice in found]
    assert sum(in_place) > NETWORKS / 2  # they find an organ, as far as its Dice goes
    for kind in KINDS:
        assert rare([bool(page[kind]) for page, _ in found]), kind


def test_networks_that_were_taught_make_claims():
    found = [claims(untrained(seed), taught(seed, shuffled=False))[0] for seed in range(4)]
    for kind in KINDS:
        assert sum(bool(page[kind]) for page in found) >= 2, kind
