"""No function leaves a mark: on the network, on what it is handed, on the process around it."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from monai.networks import nets as monai
from torch.utils.data import DataLoader, TensorDataset

import segtrace
import segtrace.explainers
from helpers import nets
from helpers.known_networks import HEADS, NARROW, dyn_unet
from helpers.untouched import assert_same, state, untouched
from segtrace.attribution import targets
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.faithfulness.pixels import pixels
from segtrace.causal.faithfulness.preservation import preservation
from segtrace.causal.faithfulness.ranking import rankings, sizes_of
from segtrace.causal.faithfulness.verdict import verdicts
from segtrace.causal.necessity import necessity
from segtrace.causal.patching import carry, patch
from segtrace.causal.route import route
from segtrace.causal.vertices import Wiring
from segtrace.models.flexible_unet import FlexibleUNet
from segtrace.network import edges, stages
from segtrace.network.hooks import edit, observe
from segtrace.network.sites import chosen, sites_of
from segtrace.tracking.edges import named_edges
from segtrace.tracking.explained import Settings

ORGANS = {"a": 1, "b": 2}
SIZES = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2}
NETWORKS = {
    "FlexibleUNet": lambda: FlexibleUNet(1, 3, "resnet10", decoder_channels=NARROW, spatial_dims=2),
    "BasicUNet": lambda: monai.BasicUNet(2, 1, 3, features=(4, 4, 4, 4, 4, 4), norm="batch"),
    "UNet": lambda: monai.UNet(2, 1, 3, (4, 4, 4), (2, 2), num_res_units=1),
    "AttentionUnet": lambda: monai.AttentionUnet(2, 1, 3, (4, 4, 4), (2, 2)),
    "SegResNet": lambda: monai.SegResNet(2, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,)),
    "DynUNet": lambda: dyn_unet(2, deep_supervision=True),
    "UNETR": lambda: monai.UNETR(1, 3, 32, 2, spatial_dims=2, norm_name="batch", **SIZES),
    "SwinUNETR": lambda: monai.SwinUNETR(
        1, 3, feature_size=12, spatial_dims=2, norm_name="batch", **HEADS
    ),
}


class Task:
    """A network in the middle of a training, and all that a user hands over with it."""

    def __init__(self, name):
        side = 64 if name == "SwinUNETR" else 32
        self.net = nets.stirred(NETWORKS[name]).float()
        self.images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
        self.truth = torch.zeros(2, side, side, dtype=torch.long)
        self.truth[:, 4:12, 4:12], self.truth[:, 16:28, 8:20] = 1, 2
        self.organs, self.cases = dict(ORGANS), ["p", "q"]
        found = stages.resolve(self.net)
        self.stages = {stage.name: stage.to_plain() for stage in (found[1], found[-2])}
        self.edges = {edge.name: edge.to_plain() for edge in edges.resolve(self.net)[:2]}
        self.sites = sites_of(self.net, self.stages, self.edges)
        self.means = collect(self.net, self.sites, [self.images], maps=True)
        self.targets = targets.organs(self.organs, "gt", self.truth)
        self.settings = Settings(rules=["grad_pam"], stages=list(self.stages))
        self._in_training()
        self.handed = (
            self.images, self.truth, self.organs, self.cases, self.stages, self.edges,
            self.means.channels, self.means.maps,
        )  # fmt: skip

    def _in_training(self):
        """Gradients half-way, a frozen part, a part in evaluation mode."""
        self.net.train()
        first, *rest = [p for p in self.net.parameters() if p.requires_grad]
        first.requires_grad_(False)
        sum(p.square().sum() for p in rest).backward()
        next(m for m in self.net.modules() if not list(m.children())).eval()

    @property
    def judged(self):
        return self.images, self.truth, self.organs

    def flow(self, edges=None):
        given = self.net, self.stages, self.images, self.targets, "grad_pam"
        return segtrace.trace(*given, edges=edges)

    def loader(self):
        return DataLoader(TensorDataset(self.images, self.truth), batch_size=1)


def joint(task):
    named = {"joint": True, "edges": task.edges}
    segtrace.integrate(task.net, None, task.images, task.targets, task.means.channels, 1, **named)


def necessities(task):
    for cut in ("mean_map", "resample"):
        necessity(task.net, task.sites, *task.judged, task.means, cut=cut, draws=1)


def deletions(task):
    sites = chosen(task.sites, list(task.stages))
    flow = task.flow()
    options = {"fractions": (0.1,), "draws": 1, "untrained": flow, "where": ["anywhere"]}
    found = deletion(task.net, flow, sites, *task.judged, task.means, **options)
    list(verdicts(found))


def pixels_hidden(task):
    flow, black = task.flow(), {"black": torch.zeros_like(task.images)}
    pixels(task.net, flow, task.images, task.organs, black, steps=2, thresholds=1)
    preservation(task.net, flow, task.images, task.organs, untrained=flow, draws=1)


def ranked(task):
    lost = necessity(task.net, task.sites, *task.judged, cut="resample", draws=1, cases=task.cases)
    sizes = sizes_of(segtrace.trace(task.net, task.sites, task.images, task.targets))
    rankings(lost, sizes, {"depth": torch.arange(len(task.sites)).double()})


def swapped(task):
    there, other = (task.images, task.truth), (task.images.flip(0), task.truth.flip(0))
    patch(task.net, task.sites, there, other, task.organs)


def looked_at(task):
    observe(task.net, task.sites, task.images)
    with edit(task.net, dict.fromkeys(task.sites, torch.zeros_like)), torch.no_grad():
        pass


def passed(task):
    route(task.net, *task.judged, task.means, edges=task.edges, steps=1)


def explained(task):
    labels, settings = task.organs, task.settings
    segtrace.explain(task.net, task.loader(), task.stages, labels, slices=1, settings=settings)


def drawn_by_chance(task):
    given = task.net, task.images, task.organs, task.truth
    segtrace.explainers.rise(*given, masks=12, cells=1)
    segtrace.explainers.kernel_shap(*given, cells=2)


def decided(task):
    given = task.net, task.stages, task.images, task.organs, task.truth
    residual = isinstance(task.net, monai.UNet)  # whose logits are a sum of two convolutions
    head = "model.2.1.conv.unit0.conv" if residual else None
    segtrace.explainers.segnbdt(*given, head=head, draws=1)


def dreamt(task):
    given = task.net, task.images, task.organs, task.truth
    segtrace.explainers.deepdream(*given, region="all", steps=1, draws=1, untrained=task.net)


def masked(task):
    given = task.net, task.images, task.organs, task.truth
    segtrace.explainers.misure(*given, keep=0.1, steps=1, moves=1)


def ablated(task):
    segtrace.explainers.ablation_cam(task.net, task.stages, task.images, task.organs, at_once=99)


def patched(task):
    segtrace.explainers.attribution_patching(
        task.net, task.stages, task.images, task.organs, cut="zero", edges={}
    )


def channels_cut(task):
    segtrace.explainers.channel_cuts(
        task.net, task.stages, task.images, task.organs, task.truth, cut="zero", groups=2
    )


FUNCTIONS = {
    "trace": lambda task: task.flow(),
    "trace with edges": lambda task: task.flow(edges=task.edges),
    "describe": lambda task: segtrace.describe(task.net, task.images, task.stages),
    "integrate": lambda task: segtrace.integrate(
        task.net, task.stages, task.images, task.targets, task.means.channels, 1
    ),
    "attribution_patching": lambda task: segtrace.attribution_patching(
        task.net, task.stages, task.images, task.targets, task.means.channels
    ),
    "integrate jointly": joint,
    "explain": explained,
    "explainers.ablation_cam": ablated,
    "explainers.attribution_patching": patched,
    "explainers.channel_cuts": channels_cut,
    "explainers.segnbdt": decided,
    "explainers.deepdream": dreamt,
    "explainers.misure": masked,
    "explainers.rise and kernel_shap": drawn_by_chance,
    "collect": lambda task: collect(task.net, task.sites, [task.images], maps=True),
    "necessity": necessities,
    "route": passed,
    "patch": swapped,
    "carry": lambda task: carry(task.net, task.sites, *task.judged, cases=task.cases),
    "deletion": deletions,
    "pixels and preservation": pixels_hidden,
    "rankings": ranked,
    "named_edges": lambda task: named_edges(task.net, task.stages, None, task.images.shape[-1]),
}
BY_HAND = {
    "cut_vertices": lambda task: Wiring.of(task.net, task.sites, task.images[:1]).path_ends,
    "see": looked_at,
}
"""What runs a network that the caller has put into evaluation mode himself."""


@pytest.fixture(scope="module", params=NETWORKS)
def task(request):
    return Task(request.param)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_network_in_training_is_left_as_it_was(task, name):
    with untouched(task.net, *task.handed):
        FUNCTIONS[name](task)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_network_in_evaluation_is_left_as_it_was(task, name):
    flags = {module: module.training for module in task.net.modules()}
    task.net.eval()
    with untouched(task.net, *task.handed):
        BY_HAND[name](task)
    for module, training in flags.items():
        module.training = training


CONTEXTS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.fixture(scope="module")
def small():
    return Task("UNet")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_it_works_in_whatever_context_the_caller_is_in(small, name, context):
    with CONTEXTS[context](), untouched(small.net, *small.handed):
        FUNCTIONS[name](small)


class Breaks:
    """A hook that lets the passes of that number and later ones fail."""

    def __init__(self, number):
        self.number, self.count = number, 0

    def __call__(self, _module, _inputs, _output):
        self.count += 1
        if self.count >= self.number:
            raise RuntimeError("on purpose")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("number", [1, 3])
def test_it_is_left_as_it_was_when_a_pass_fails(two_paths, name, number):
    task = two_paths
    before = state(task.net)
    # Deep in the network, so that what is set up before and behind it stands at that moment.
    handle = task.net.get_submodule("bottleneck").register_forward_hook(Breaks(number))
    hooked = state(task.net)
    try:
        with pytest.raises(RuntimeError, match="on purpose"), untouched(task.net, *task.handed):
            _thrice(FUNCTIONS[name], task)
        assert_same(state(task.net), hooked)
    finally:
        handle.remove()
    assert_same(state(task.net), before)


def _thrice(function, task):
    for _ in range(3):  # some functions send one image alone through
        function(task)


@pytest.fixture(scope="module")
def two_paths():
    return Task("DynUNet")


class Training(pl.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        raise AssertionError("the callback is looked at before the first step")

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Enough(Exception):
    """The callback has explained and cut: no training is needed."""


class Marks(pl.Callback):
    """Holds the network, once every callback has started, against what it was before the last."""

    def __init__(self):
        self.seen = {}

    def on_train_start(self, trainer, pl_module):
        self.seen = state(pl_module.net)

    def on_train_epoch_start(self, trainer, pl_module):
        assert_same(state(pl_module.net), self.seen)
        raise Enough


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
@pytest.mark.filterwarnings(
    "ignore:FlowCallback found no logger that shows", "ignore:.*in eval mode at"
)
def test_the_callback_leaves_it_as_it_was(task, tmp_path):
    watching = segtrace.FlowCallback(
        stages=task.stages,
        organs=task.organs,
        edges=task.edges,
        probes=1,
        settings=replace(task.settings, organs=["a"]),
        cut_every=1,
        training_slices=task.images,
    )
    trainer = pl.Trainer(
        max_epochs=1, callbacks=[Marks(), watching], logger=False, accelerator="cpu",
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with pytest.raises(Enough):
        trainer.fit(Training(task.net), task.loader(), task.loader())
    assert watching.explained is not None
    assert watching.cuts is not None
