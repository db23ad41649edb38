"""Which edges a network has, as the checkpoint will say."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from helpers.routes import ROUTED_EDGES, ROUTED_STAGES, Routed
from segtrace import InputError
from segtrace.network.stages import resolve
from segtrace.tracking.edges import named_edges, sites


def basic():
    return BasicUNet(2, 1, 3, features=(4, 4, 8, 8, 16, 4), norm="batch")


def named(net):
    return {stage.name: stage.to_plain() for stage in resolve(net, None)}


def test_a_network_of_the_table_has_its_edges_as_plain_values_that_resolve_again():
    net = basic()
    found = named_edges(net, named(net), None, 32)
    assert list(found) == [f"{way}_{i}" for i in range(1, 5) for way in ("skip", "up")]
    assert found["skip_1"]["source"] == "enc4"
    names = [site.name for site in sites(net, named(net), found)]
    assert names == [*named(net), *found]


def test_looking_for_edges_leaves_no_mark():
    net = basic().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(0)
    named_edges(net, named(net), None, 32)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_network_of_no_table_is_cut_at_its_stages_alone_and_says_how_to_name_edges(capsys):
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    assert named_edges(net, {"enc1": "1", "head": "2"}, None, 8) == {}
    told = capsys.readouterr().out
    assert "Edges of Sequential are not in the table" in told
    assert "model.edges={skip_1: {stage: dec1" in told
    assert [s.name for s in sites(net, {"enc1": "1", "head": "2"}, None)] == ["enc1", "head"]


def test_edges_that_the_user_names_are_taken():
    found = named_edges(Routed().float(), ROUTED_STAGES, ROUTED_EDGES, 8)
    assert {name: edge["stage"] for name, edge in found.items()} == {
        "skip_1": "dec1",
        "up_1": "dec1",
    }


class UpFirst(nn.Module):
    """A decoder stage that joins ``cat((up, skip))``, with as many channels each."""

    def __init__(self):
        super().__init__()
        self.shallow, self.deep = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 2, stride=2)
        self.up, self.dec = nn.ConvTranspose2d(2, 2, 2, 2), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        skip = self.shallow(x)
        return self.dec(torch.cat((self.up(self.deep(skip)), skip), 1))


UP_FIRST = {"enc1": "shallow", "enc2": "deep", "dec1": "dec"}
HALF = {"stage": "dec1", "module": "dec", "argument": 0, "joined": "cat", "beside": "up"}


def test_an_edge_is_kept_with_the_channels_that_it_was_found_in():
    found = named_edges(UpFirst(), UP_FIRST, {"skip_1": HALF | {"source": "enc1"}}, 8)
    assert found["skip_1"]["part"] == (2, 4)
    with pytest.raises(InputError, match=r"edge 'skip_1': .* is not what its source 'enc2' puts"):
        named_edges(UpFirst(), UP_FIRST, {"skip_1": HALF | {"source": "enc2"}}, 8)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"stage": "dec1", "module": "decc"}, "edge 'mine': no module 'decc'.*did you mean dec"),
        ({"stage": "dec1", "module": "dec", "argument": 2},
         "edge 'mine': dec is called without argument 2; positional ones count from 0"),
        ({"stage": "dec1", "module": "dec", "argument": "skip"}, "without argument 'skip'"),
        ({"module": "dec"}, "edge 'mine' is .*give stage: …, module: …"),
    ],
)  # fmt: skip
def test_an_edge_that_cannot_be_found_is_named_before_training(edge, message):
    with pytest.raises(InputError, match=message):
        named_edges(Routed().float(), ROUTED_STAGES, {"mine": edge}, 8)


def test_an_edge_with_the_name_of_a_stage_is_refused():
    edges = {"enc1": ROUTED_EDGES["up_1"]}
    with pytest.raises(InputError, match="edge 'enc1' has the name of a stage"):
        named_edges(Routed().float(), ROUTED_STAGES, edges, 8)
