"""Networks of other packages in somebody's training: no stage, edge or output is named."""

import pytest

from helpers.known_networks import NETWORKS, network
from helpers.round_trip import check_round_trip

NAMES = ["smp Unet", "nnU-Net", "SegResNetDS", "torchvision FCN", "Swin-Unet", "TransUNet"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*in eval mode at the.*"
)
def test_a_training_is_watched_and_what_it_leaves_is_explained(name, tmp_path):
    net, _ = network(name)
    check_round_trip(net, NETWORKS[name], tmp_path)
