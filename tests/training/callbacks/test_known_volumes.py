"""Networks of the field that take volumes: watched without a mark, cut, explained in windows."""

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from helpers.known_checks import CHANNELS, by_hand
from helpers.known_networks import NETWORKS
from helpers.nets import stirred
from helpers.round_trip import ORGANS, Module
from segtrace import FlowCallback
from segtrace.causal.outcome import Judge
from segtrace.labelled import tensor
from segtrace.network.logits import logits_at
from segtrace.network.sites import sites_of
from segtrace.tracking.explained import Settings

SIDE = {"SwinUNETR 3-D": 32}
NAMES = ["BasicUNet 3-D", "DynUNet 3-D", "nnU-Net 3-D", "SwinUNETR 3-D"]


def volumes(name, count=2, times=1):
    """Two boxes; an image is as many sides of the network's long as ``times``."""
    side = SIDE.get(name, 16) * times
    half = side // 2
    truth = torch.zeros(count, side, side, side, dtype=torch.long)
    truth[:, 1:half, 2:half, 1 : half + 1] = 1
    truth[:, half + 1 : -1, half : half + 3, half - 2 : -2] = 2
    noise = torch.rand(count, 1, side, side, side, generator=torch.Generator().manual_seed(0))
    return noise + truth[:, None] / 2, truth


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
)
def test_a_training_on_volumes_is_watched_without_a_mark_on_its_weights(name, tmp_path):
    data = DataLoader(TensorDataset(*volumes(name)), batch_size=2)
    ends = []
    for watched in (False, True):
        net = stirred(NETWORKS[name].build).float().train()
        torch.manual_seed(0)
        watch = FlowCallback(organs=ORGANS, probes=1, folder=str(tmp_path / "flow"))
        quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
        trainer = pl.Trainer(
            max_epochs=1, callbacks=[watch] * watched, accelerator="cpu",
            default_root_dir=tmp_path, num_sanity_val_steps=0, **dict.fromkeys(quiet, False),
        )  # fmt: skip
        trainer.fit(Module(net), data, data)
        ends.append(net.state_dict())
    assert all(torch.equal(one, ends[1][key]) for key, one in ends[0].items())
    assert watch.explained.record.scene.of_volumes
    assert (tmp_path / "flow" / "measures.csv").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_of_volumes_cut_costs_what_a_hook_by_hand_costs(name):
    net = stirred(NETWORKS[name].build).float().eval()
    x, truth = volumes(name, 1)
    stages = sites_of(net).stages
    found = segtrace.necessity(net, stages, x, truth, CHANNELS, cut="zero")
    for s, site in enumerate(stages):
        with by_hand(net, (site.module, None, ...), torch.zeros_like), torch.no_grad():
            slow = Judge(CHANNELS, truth).of(logits_at(net, x))
        torch.testing.assert_close(tensor(found.data["scores"])[s], slow.score, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
def test_one_window_gives_what_no_window_gives_and_several_are_stitched(name):
    net = stirred(NETWORKS[name].build).float().eval()
    settings = Settings(["grad_pam"], stages=["enc1", "dec1", "head"])
    x, truth = volumes(name, 1)
    data = [{"image": x, "label": truth}]
    plain = segtrace.explain(net, data, None, ORGANS, settings=settings)
    alone = segtrace.explain(net, data, None, ORGANS, settings=settings, window=x.shape[-1])
    for stage, maps in plain.record.flow.maps.items():
        assert torch.equal(alone.record.flow.maps[stage], maps)
    side = SIDE.get(name, 16)
    x, truth = (part[..., :side, :side, : side * 3 // 2] for part in volumes(name, 1, times=2))
    several = segtrace.explain(net, [{"image": x, "label": truth}], None, ORGANS,
                               settings=settings, window=side)  # fmt: skip
    flow = several.record.flow
    assert flow.prediction.shape == truth.shape
    assert flow.maps["head"].shape[3:] == truth.shape[1:]
    assert all(maps.isfinite().all() for maps in flow.maps.values())
