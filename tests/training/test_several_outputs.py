"""MONAI's networks of several outputs: a step trains the one that holds the logits."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from models.test_networks import BUILT, build
from segtrace.checkpoint.loading import load, recorded
from segtrace.models.table import NETWORKS
from segtrace.network.stages import resolve
from segtrace.training.module import SegmentationModule
from training.test_module import ORGANS, Data

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)
# Depth supervised, what the loss cannot take: a list of outputs in several resolutions.
SEVERAL = {
    "SegResNetDS": {"resolution": None},
    "BasicUNetPlusPlus": {},
    "MedNeXt": {
        "blocks_down": [1, 1],
        "encoder_expansion_ratio": 2,
        "blocks_up": [1, 1],
        "norm_type": "group",
    },
}


@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")
@pytest.mark.parametrize("key", SEVERAL)
def test_a_step_trains_the_logits_and_the_checkpoint_is_read_back(key, tmp_path):
    given = BUILT[key] | SEVERAL[key] | {"in_channels": 1, "out_channels": 3}
    net = build(key, **given)
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert isinstance(net.train()(image), list | tuple)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    recipe = recorded({"_target_": NETWORKS[key].paths[0], **given}, net)
    module = SegmentationModule(
        net,
        ORGANS,
        partial(torch.optim.SGD, lr=0.1),
        channels_last=False,
        description={"network": recipe, "memory_format": "contiguous"},
    )
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger"), False)
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(module, datamodule=Data())
    trainer.save_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    trained = {name for name, weight in net.state_dict().items()
               if not torch.equal(weight, before[name])}  # fmt: skip
    head = resolve(net, ["head"])[0].module
    assert any(name.startswith(head) for name in trained)
    again = load(tmp_path / "one.ckpt").net
    module.net = net.eval()
    with torch.no_grad():
        logits = module(image)
        module.net = again
        assert torch.equal(module(image), logits)
