"""Networks of other packages, as they are: all that holds for the table. `make test-foreign`."""

import pytest

from foreign.networks import NETWORKS
from helpers.known_checks import check_cuts, check_edges, check_gradients, check_maps
from helpers.nets import stirred
from helpers.round_trip import check_round_trip

pytestmark = pytest.mark.filterwarnings("default")  # packages of other versions than ours


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_maps_edges_and_cuts_are_those_of_plain_hooks(name):
    known = NETWORKS[name]
    net = stirred(known.build)
    check_gradients(net, known)
    assert check_maps(net, known) < 1e-9
    check_edges(net, known)
    check_cuts(net, known)


@pytest.mark.parametrize("name", [name for name, known in NETWORKS.items() if known.axes == 2])
def test_a_training_is_watched_and_what_it_leaves_is_explained(name, tmp_path):
    check_round_trip(stirred(NETWORKS[name].build), NETWORKS[name], tmp_path)
