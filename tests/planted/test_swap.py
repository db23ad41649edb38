import pytest
import torch

from helpers.planted_reader import STAGES, Reader, save_reader
from segtrace.network.stages import resolve
from segtrace.planted.network import PlantedNetwork
from segtrace.planted.swap import held_at_mark


@pytest.fixture
def reader(tmp_path):
    return save_reader(tmp_path / "epoch_001.ckpt", "far")


def test_the_reader_reads_what_it_says(reader):
    net = Reader().requires_grad_(False)
    bright, dark = torch.full((1, 1, 4, 4), 0.9), torch.full((1, 1, 4, 4), 0.05)
    assert float(net.told(net.marks(bright)).min()) > 0 > float(net.told(net.marks(dark)).max())


def test_a_stage_that_reads_single_pixels_holds_the_class_at_the_mark(reader):
    network = PlantedNetwork.load(reader, Reader)
    slices = network.slices()
    held = held_at_mark(network.net, resolve(network.net, STAGES), slices)
    lost, total = held["marks"]
    torch.testing.assert_close(lost, total)
    assert (total > 1).all()
    for stage in ("told", "head"):
        assert float(held[stage][0].abs().max()) == 0
