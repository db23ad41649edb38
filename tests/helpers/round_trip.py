"""A training of someone's own that is watched, and its network explained afterwards."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from helpers.nets import labels
from segtrace import FlowCallback
from segtrace.network import edges
from segtrace.network.logits import logits_at
from segtrace.report.tables import read_table
from segtrace.tracking.explained import explain_probes

ORGANS = {"a": 1, "b": 2}


class Module(pl.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        image, label = batch
        return nn.functional.cross_entropy(logits_at(self.net, image), label)

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def check_round_trip(net, known, folder):
    """The callback traces and cuts, and explaining what it left gives its maps again."""
    images, truth = known.images(2).float(), labels(2, known.side, 3)
    data = DataLoader(TensorDataset(images, truth), batch_size=2)
    watch = FlowCallback(
        organs=ORGANS,
        probes=1,
        cut_every=1,
        training_slices=images,
        folder=str(folder / "flow"),
        draw_every={"overview": 9, "charts": 9, "seg_grad_cam": 9, "grad_pam": 9},
    )
    quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    trainer = pl.Trainer(
        max_epochs=1,
        callbacks=[watch],
        accelerator="cpu",
        default_root_dir=folder,
        logger=TensorBoardLogger(folder, name="", version="tb"),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        **dict.fromkeys(quiet, False),
    )
    net = net.float()
    trainer.fit(Module(net), data, data)
    again = explain_probes(net.eval(), None, watch.probes, ORGANS, epoch=1)
    flow, own = watch.explained.record.flow, again.record.flow
    order = [own.rules.index(rule) for rule in flow.rules]  # where one is void, another leads
    for stage, maps in flow.maps.items():
        assert torch.equal(own.maps[stage][order], maps), stage
    cut = {row["site"] for row in read_table(folder / "flow" / "necessity.csv")}
    assert cut == {*again.record.flow.stages, *(edge.name for edge in edges.resolve(net))}
    segtrace.explain(net, data, None, ORGANS, out=folder / "explained", slices=1)
    assert (folder / "explained" / "index.html").exists()
