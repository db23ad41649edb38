"""Networks of other packages, as they are: all that holds for the table. `make test-foreign`."""

import pytest
import segmentation_models_pytorch as smp
import torch

from foreign.networks import NETWORKS
from helpers.known_checks import check_cuts, check_edges, check_gradients, check_maps
from helpers.nets import stirred
from helpers.round_trip import check_round_trip
from segtrace import InputError
from segtrace.network import stages
from segtrace.network.hooks import observe
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import undisturbed

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


ENCODERS = ["resnext50_32x4d", "se_resnet50", "timm-skresnet18", "densenet121", "mobilenet_v2",
            "timm-efficientnet-b0", "mobileone_s0", "mit_b0"]  # fmt: skip


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoder_stages_of_smp_are_the_features_that_its_decoder_takes_in(encoder):
    net = smp.Unet(encoder, encoder_weights=None, in_channels=3, classes=3).eval()
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    places = [place for place in stages.resolve(net) if place.name.startswith("enc")]
    with torch.no_grad():
        features = [feature for feature in net.encoder(x)[1:] if feature.numel()]
    seen = observe(net, places, x).activations
    for place, feature in zip(places, features, strict=True):
        assert torch.equal(seen[place.name], feature), place
    with undisturbed(net, x.device):
        settled = sites_of(net).settled(net, x)  # each edge carries what its source puts out
    assert len(settled.edges) == len(features) - 1 + 5


def test_an_encoder_without_a_pattern_is_refused_by_its_class():
    net = smp.Unet("vgg11", encoder_weights=None, in_channels=1, classes=3)
    with pytest.raises(InputError, match=r"the encoder of Unet \(VGGEncoder\) is not in the table"):
        stages.resolve(net)
