"""On a GPU: the numbers of the CPU, the same statuses, and no mark left. `make test-gpu`.

`SEGTRACE_DEVICE=cpu` runs the same tests where no GPU is, to see that they are whole.
"""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import xarray as xr
from torch.utils.data import DataLoader, TensorDataset

import segtrace
import test_no_mark as marks
from helpers import nets
from helpers.scripts import ROOT
from helpers.untouched import untouched
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.route import route
from segtrace.network.sites import sites_of
from segtrace.tracking.explained import Settings

pytestmark = pytest.mark.filterwarnings("default")  # packages of other versions than ours
DEVICE = os.environ.get("SEGTRACE_DEVICE", "cuda")
RULES = ["seg_grad_cam", "grad_pam", "layer_cam"]
CLOSE = 2e-3
"""Of a map's largest value: what float32 may miss of float64 behind some thirty layers."""


@pytest.fixture(scope="module", params=marks.NETWORKS)
def name(request):
    return request.param


def flow_on(device, dtype, name):
    """Maps of all stages on that device, in that precision."""
    net = nets.stirred(marks.NETWORKS[name]).to(device, dtype)
    side = 64 if name == "SwinUNETR" else 32
    image = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    truth = torch.zeros(2, side, side, dtype=torch.long)
    truth[:, 4:12, 4:12], truth[0, 16:28, 8:20] = 1, 2
    target = targets.organs({"a": 1, "b": 2}, "gt", truth)
    return segtrace.trace(net, None, image.to(device, dtype), target, RULES)


def test_maps_scores_and_statuses_are_those_of_float64_loops_on_the_cpu(name):
    exact, found = flow_on("cpu", torch.float64, name), flow_on(DEVICE, torch.float32, name)
    assert torch.equal(found.status.cpu(), exact.status)
    torch.testing.assert_close(found.scores.cpu().double(), exact.scores, rtol=CLOSE, atol=1e-4)
    for stage, maps in exact.maps.items():
        mine = found.maps[stage].cpu().double()
        usable = (exact.status[exact.stages.index(stage)] == Status.OK)[..., None, None]
        largest = maps.abs().amax((-2, -1), keepdim=True).clamp(min=1e-12)
        off = ((mine - maps).abs() / largest).where(usable, 0)
        assert off.max() < CLOSE, (stage, off.max())


def test_products_are_not_rounded_to_tf32_and_the_switches_stay():
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    seen = []

    def output(out):
        seen.append([switch.allow_tf32 for switch in switches])
        return out

    net = nets.stirred(marks.NETWORKS["BasicUNet"]).float().to(DEVICE)
    x = torch.rand(1, 1, 32, 32, device=DEVICE)
    segtrace.trace(net, None, x, targets.organ(1, "all"), output=output)
    assert [switch.allow_tf32 for switch in switches] == before
    assert DEVICE == "cpu" or not any(map(any, seen))


def test_instance_normalisation_is_found_where_the_gpu_runs_it():
    assert (flow_on(DEVICE, torch.float32, "UNet").status == Status.GAP_DEGENERATE).any()


@pytest.fixture(scope="module")
def task():
    here = marks.Task("DynUNet")
    here.net.to(DEVICE)
    here.images = here.images.to(DEVICE)
    here.means = collect(here.net, here.sites, [here.images], maps=True)
    here.handed = (here.images, here.truth, here.organs, here.stages, here.edges)
    return here


@pytest.mark.parametrize("function", [f for f in marks.FUNCTIONS if f != "explain"])
def test_a_network_on_the_gpu_is_left_as_it_was(task, function):
    random = torch.cuda.get_rng_state_all() if DEVICE == "cuda" else []
    with untouched(task.net, *task.handed):
        marks.FUNCTIONS[function](task)
    now = torch.cuda.get_rng_state_all() if DEVICE == "cuda" else []
    assert all(map(torch.equal, random, now))


def test_cuts_and_routes_are_those_of_the_cpu():
    found = {}
    for device in ("cpu", DEVICE):
        net = nets.stirred(marks.NETWORKS["BasicUNet"]).float().to(device)
        x = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
        truth = net(x).argmax(1).cpu()
        organs, sites = {"a": 1, "b": 2}, sites_of(net)
        means = collect(net, sites, [x], maps=True)
        lost = necessity(net, sites, x, truth, organs, means, cut="channel_mean")
        passed = route(net, x, truth, organs, means, steps=2)
        found[device] = lost, passed
    (lost, passed), (lost_there, passed_there) = found["cpu"], found[DEVICE]
    xr.testing.assert_allclose(lost_there.dice_lost, lost.dice_lost, rtol=0, atol=0.02)
    there, here = (one.summary["share"] for one in (passed_there, passed))
    xr.testing.assert_allclose(there, here, rtol=0, atol=0.01)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training of two epochs on a small phantom, on the device, explained anew on the CPU."""
    folder = tmp_path_factory.mktemp("gpu")
    where = "gpu" if DEVICE == "cuda" else "cpu"
    script(
        folder, "train.py", f"trainer.accelerator={where}", "trainer.precision=32-true",
        "trainer.max_epochs=2", "data.size=64", "data.steps_per_epoch=8", "data.num_workers=0",
        "trainer.enable_progress_bar=false", "callbacks.flow.cut_every=1", "hydra.run.dir=run",
    )  # fmt: skip
    script(folder, "explain.py", "checkpoint=run/checkpoints/epoch_002.ckpt", "hydra.run.dir=ex")
    return folder


def script(folder, name, *overrides):
    done = subprocess.run(
        [sys.executable, str(ROOT / name), *overrides], cwd=folder, capture_output=True, text=True
    )
    print(done.stdout[-3000:], done.stderr[-3000:])
    assert done.returncode == 0


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_checkpoint_of_the_gpu_explained_on_the_cpu_gives_the_callbacks_numbers(run):
    key = ("rule", "organ", "case", "slice", "stage")
    there, here = (
        {tuple(row[k] for k in key): float(row["gain"] or "nan")
         for row in rows(run / path) if row["epoch"] == "2"}
        for path in ("ex/measures.csv", "run/flow/measures.csv")
    )  # fmt: skip
    assert len(there) > 100
    assert set(there) == set(here)
    pairs = np.array([(there[k], here[k]) for k in there])
    off = np.abs(pairs[:, 0] - pairs[:, 1])
    lone = [k for k, (one, other) in zip(there, np.isnan(pairs), strict=True) if one != other]
    assert len(lone) <= 0.01 * len(there), lone  # maps at the edge of having no positive part
    assert np.nanmax(off) < 0.02, max(
        zip(off, there, strict=True), key=lambda o: np.nan_to_num(o[0])
    )


def test_the_callback_leaves_the_weights_of_a_training_on_the_gpu(tmp_path):
    class Fits(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nets.basic_unet(3, "batch").float()

        def training_step(self, batch, _index):
            x, y = batch
            wanted = torch.nn.functional.one_hot(y.squeeze(1).long(), 3).movedim(-1, 1).float()
            return (self.net(x).softmax(1) - wanted).square().mean()

        def validation_step(self, batch, _index):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    x = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    y = (x > 0.5).long() + (x > 0.8).long()
    weights = []
    for with_callback in (False, True):
        torch.manual_seed(0)
        own = segtrace.FlowCallback(
            net="net", organs={"a": 1, "b": 2}, probes=2,
            folder=str(tmp_path / "flow"), settings=Settings(rules=["seg_grad_cam"]),
        )  # fmt: skip
        trainer = pl.Trainer(
            max_epochs=2, accelerator="gpu" if DEVICE == "cuda" else "cpu", devices=1,
            callbacks=[own] if with_callback else [], logger=False, deterministic=True,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        module = Fits()
        loader = DataLoader(TensorDataset(x, y), batch_size=4)
        trainer.fit(module, loader, loader)
        weights.append({key: value.cpu() for key, value in module.state_dict().items()})
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
