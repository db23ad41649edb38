"""What a user may get wrong on train.py's command line, refused before any data is read."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch import nn

from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.cli.limits import check_limits
from segtrace.cli.schema import check
from segtrace.cli.train.assembly import _in_order
from segtrace.cli.train.rehearsal import check_optimisation, rehearse
from segtrace.cli.train.train_config import KEYS, check_probes, plainly
from segtrace.training.callbacks.best import BestCheckpoint
from segtrace.training.callbacks.checkpoints import EpochCheckpoints

PLACES = (
    "callbacks.flow.folder=/nowhere/flow",
    "callbacks.checkpoints.folder=/nowhere/checkpoints",
    "logger.tensorboard.save_dir=/nowhere",
    "++trainer.accelerator=cpu",
)
"""Nothing is ever written there: a rehearsal makes objects and lets go of them."""

ADAM = "model.optimizer={_target_:torch.optim.AdamW,_partial_:true,"
SGD = "model.optimizer={_target_:torch.optim.SGD,_partial_:true,"
SCHEDULE = "model.scheduler={_partial_:true,_target_:"
TORCH = f"{SCHEDULE}torch.optim.lr_scheduler."
OURS = f"{SCHEDULE}segtrace.training.schedules."
BEST = "callbacks.best={_target_:pytorch_lightning.callbacks.ModelCheckpoint,"
STOP = "callbacks.stop={_target_:pytorch_lightning.callbacks.EarlyStopping,"
MINE = "callbacks.mine={_target_:pytorch_lightning.callbacks."
LOGGER = "logger.mine={_target_:pytorch_lightning.loggers."


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return plainly(compose("train", list(PLACES)))


def with_typed(composed: dict[str, Any], *typed: str) -> dict[str, Any]:
    """The configuration with ``a.b=value`` put in, the value read as Hydra reads it."""
    config = deepcopy(composed)
    for override in typed:
        key, _, value = override.partition("=")
        node = config
        *path, last = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = OverridesParser.create().parse_override(f"x={value}").value()
    return config


def accept(config: dict[str, Any]) -> None:
    """What train.py does with a configuration before it reads data."""
    check(config, KEYS)
    check_limits(config)
    check_probes(config["probes"])
    rehearse(config, Path("/nowhere"))


WRONG = [
    # Lightning's trainer
    ("trainer.accelerator=gpu", r"trainer.accelerator='gpu': No supported gpu .*=auto works"),
    ("trainer.accelerator=cuda", r"trainer.accelerator='cuda': .*auto works"),
    ("trainer.accelerator=tpu", r"trainer.accelerator='tpu'"),
    ("trainer.accelerator=mps", r"trainer.accelerator='mps'"),
    ("trainer.accelerator=gpuu", r"trainer.accelerator='gpuu': .*Available names are.*cpu"),
    ("trainer.accelerator=null", r"trainer.accelerator=None"),
    ("trainer.devices=0", r"trainer.devices=0: .*; trainer.devices=auto works"),
    ("trainer.devices=-1", r"trainer.devices=-1: .* int > 0"),
    ("trainer.devices=some", r"trainer.devices='some'"),
    ("trainer.devices=[]", r"trainer.devices=\[\]"),
    ("trainer.devices=[7]", r"trainer.devices=\[7\]"),
    ("trainer.devices=1.5", r"trainer.devices=1.5"),
    ("trainer.devices=null", r"trainer.devices=None"),
    ("trainer.num_nodes=0", r"trainer.num_nodes=0: .*positive.*; trainer.num_nodes=1 works"),
    ("trainer.strategy=dp", r"trainer.strategy='dp': .*trainer.strategy=auto works"),
    ("trainer.strategy=fsdp", r"trainer.strategy='fsdp': .*GPU"),
    ("trainer.strategy=deepspeed", r"trainer.strategy='deepspeed': .*install"),
    ("trainer.precision=8", r"trainer.precision=8"),
    ("trainer.precision=transformer-engine", r"trainer.precision='transformer-engine'"),
    ("trainer.max_epochs=-1", r"trainer.max_epochs=-1: the training has no end"),
    ("trainer.max_epochs=null", r"trainer.max_epochs=null: the training has no end"),
    ("trainer.max_epochs=0", r"trainer.max_epochs=0; give 1 or more"),
    ("trainer.max_epochs=2.5", r"trainer.max_epochs=2.5: .*integer"),
    ("trainer.max_epochs=many", r"trainer.max_epochs='many'"),
    ("trainer.max_steps=0", r"trainer.max_steps=0"),
    ("trainer.max_steps=-5", r"trainer.max_steps=-5"),
    ("trainer.max_time=soon", r"trainer.max_time='soon': .*DD:HH:MM:SS.*=null works"),
    ("trainer.limit_train_batches=0", r"trainer.limit_train_batches=0; give more than 0"),
    ("trainer.limit_train_batches=1.5", r"trainer.limit_train_batches=1.5: .*\[0.0, 1.0\]"),
    ("trainer.limit_val_batches=-3", r"trainer.limit_val_batches=-3"),
    ("trainer.limit_test_batches=2.5", r"trainer.limit_test_batches=2.5"),
    ("trainer.overfit_batches=-1", r"trainer.overfit_batches=-1"),
    ("trainer.val_check_interval=0", r"trainer.val_check_interval=0; give more than 0"),
    ("trainer.val_check_interval=2.5", r"trainer.val_check_interval=2.5"),
    ("trainer.val_check_interval=often", r"trainer.val_check_interval='often'"),
    ("trainer.check_val_every_n_epoch=0", r"trainer.check_val_every_n_epoch=0; give 1"),
    ("trainer.log_every_n_steps=0", r"trainer.log_every_n_steps=0; give 1 or more"),
    ("trainer.accumulate_grad_batches=0", r"trainer.accumulate_grad_batches=0; give 1"),
    ("trainer.gradient_clip_val=-1", r"trainer.gradient_clip_val=-1; give 0 or more"),
    ("trainer.gradient_clip_algorithm=hard", r"algorithm='hard': .*\['value', 'norm'\]"),
    ("trainer.profiler=slow", r"trainer.profiler='slow': .*'simple'.*=null works"),
    ("trainer.deterministic=perhaps", r"trainer.deterministic='perhaps'"),
    ("trainer.reload_dataloaders_every_n_epochs=-1", r"every_n_epochs=-1: .*=0 works"),
    ("trainer.barebones=true", r"trainer.barebones=True: .*barebones=false works"),
    ("trainer.fast_dev_run=-1", r"trainer.fast_dev_run=-1"),
    ("trainer.enable_checkpointing=false", r"trainer.enable_checkpointing=False"),
    ("trainer.plugins=[fast]", r"trainer.plugins=\['fast'\]"),
    ("trainer.callbacks=[]", r"trainer.callbacks is filled in"),
    ("trainer.logger=false", r"trainer.logger is filled in"),
    ("trainer.default_root_dir=here", r"trainer.default_root_dir is filled in"),
    ("trainer.epochs=3", r"no option 'trainer.epochs'.*did you mean"),
    ("trainer._target_=trainers.Mine", r"trainer: cannot import 'trainers.Mine'"),
    ("trainer={_target_:torch.nn.ReLU,max_epochs:2}", r"no option 'trainer.max_epochs'"),
    # what is random, scored, watched
    ("seed=4294967296", r"seed=4294967296; give a whole number from 0"),
    ("seed=-1", r"seed=-1"),
    ("seed=1.5", r"seed=1.5"),
    ("seed=null", r"seed=None"),
    ("test=maybe", r"test='maybe'; give true or false"),
    ("probes.draw_every=2", r"no option 'probes.draw_every'; allowed are probes.n"),
    ("probes.from=test", r"no probes.from 'test'; allowed are val, train"),
    ("probes.embed=perhaps", r"probes.embed='perhaps'"),
    # optimiser
    ("model.optimizer.lr=-1", r"model.optimizer.lr=-1: Invalid learning rate.*lr=0.001 works"),
    ("model.optimizer.lr=nan", r"model.optimizer.lr=nan; give a finite number"),
    ("model.optimizer.lr=inf", r"model.optimizer.lr=inf; give a finite number"),
    ("model.optimizer.lr=fast", r"model.optimizer.lr='fast'"),
    ("model.optimizer.weight_decay=-1", r"model.optimizer.weight_decay=-1: .*=0.01 works"),
    ("model.optimizer.eps=-1", r"model.optimizer.eps=-1: Invalid epsilon"),
    ("model.optimizer.betas=[0.9,2]", r"model.optimizer.betas=\[0.9, 2\]: .*\[0.9,0.999\] works"),
    ("model.optimizer.betas=[0.9]", r"model.optimizer.betas=\[0.9\]"),
    ("model.optimizer.differentiable=true", r"model.optimizer.differentiable=True: .*false works"),
    ("model.optimizer.momentum=0.9", r"no option 'model.optimizer.momentum'"),
    ("model.optimizer._partial_=perhaps", r"model.optimizer._partial_='perhaps'; give true"),
    ("model.optimizer._partial_=false", r"say model.optimizer._partial_=true"),
    ("model.optimizer=null", r"model.optimizer=None"),
    ("model.optimizer=adam", r"model.optimizer='adam'"),
    ("model.optimizer._target_=torch.optim.Adamw", r"cannot import 'torch.optim.Adamw'"),
    (f"{ADAM}foreach:true,fused:true}}", r"model.optimizer.foreach=True with .*fused=True"),
    (f"{SGD}momentum:-1}}", r"model.optimizer.momentum=-1: Invalid momentum"),
    (f"{SGD}nesterov:true}}", r"model.optimizer.nesterov=True: Nesterov momentum requires"),
    ("model.optimizer={_target_:torch.optim.Muon,_partial_:true}", r"only supports 2D"),
    ("model.optimizer={_target_:torch.optim.SparseAdam,_partial_:true}", r"dense gradients"),
    ("model.optimizer={_target_:torch.nn.ReLU,_partial_:true}", r"torch.nn.ReLU is no Optimizer"),
    # schedule
    ("model.scheduler.warmup=2", r"model.scheduler.warmup=2; give more than 0 and less than 1"),
    ("model.scheduler.warmup=0", r"model.scheduler.warmup=0; give more than 0"),
    ("model.scheduler.warmup=1", r"model.scheduler.warmup=1; give more than 0"),
    ("model.scheduler.warmup=long", r"model.scheduler.warmup='long'"),
    ("model.scheduler.power=2", r"no option 'model.scheduler.power'"),
    ("model.scheduler=cosine", r"model.scheduler='cosine'"),
    (f"{OURS}polynomial,power:-1}}", r"model.scheduler.power=-1; give more than 0"),
    (f"{OURS}polynomial,power:0}}", r"model.scheduler.power=0; give more than 0"),
    (f"{OURS}polynom}}", r"cannot import 'segtrace.training.schedules.polynom'"),
    (f"{TORCH}StepLR,step_size:3}}", r"model.scheduler.step_size=3: .*multiple values"),
    (f"{TORCH}OneCycleLR}}", r"OneCycleLR\(\): .*total_steps"),
    (f"{TORCH}ReduceLROnPlateau}}", r"model.scheduler: .*ReduceLROnPlateau"),
    (f"{TORCH}LinearLR,end_factor:3}}", r"model.scheduler: .*LinearLR.*multiplicative factor"),
    (f"{SCHEDULE}torch.optim.SGD}}", r"model.scheduler: torch.optim.SGD"),
    # loss and module
    ("model.dice_weight=-1", r"model.dice_weight=-1; give 0 to 1"),
    ("model.dice_weight=2", r"model.dice_weight=2; give 0 to 1"),
    ("model.dice_weight=heavy", r"model.dice_weight='heavy'"),
    ("model.channels_last=perhaps", r"model.channels_last='perhaps'"),
    ("model.organs={a:1}", r"no option 'model.organs'"),
    ("model.net=null", r"model.net names no class"),
    ("model.net={}", r"model.net names no class"),
    ("model.net._target_=null", r"model.net names no class"),
    ("model={_target_:torch.nn.ReLU,net:{_target_:a.B}}", r"model: torch.nn.ReLU"),
    # what is explained
    ("explain.rules=[]", r"rules are \[\]; give at least one"),
    ("explain.rules=[grad_kam]", r"no rule 'grad_kam'.*did you mean"),
    ("explain.rules=[grad_pam,grad_pam]", r"rules are .*each once"),
    ("explain.region=somewhere", r"no region 'somewhere'; allowed are gt"),
    ("explain.score=logits", r"no score 'logits'.*did you mean logit"),
    ("explain.aggregate=sum", r"explain.aggregate='sum'"),
    ("explain.draw_every=3", r"no option 'explain.draw_every'"),
    # callbacks
    ("callbacks.flow.every_n_epochs=0", r"every_n_epochs=0; give 1 or more"),
    ("callbacks.flow.every_n_epochs=often", r"every_n_epochs='often'"),
    ("callbacks.flow.draw_every={grad_kam:3}", r"no drawing 'draw_every.grad_kam'.*mean.*grad_cam"),
    ("callbacks.flow.draw_every={chart:3}", r"no drawing 'draw_every.chart'.*mean .*charts"),
    ("callbacks.flow.draw_every={grad_pam:0}", r"draw_every.grad_pam=0; give 1 or more"),
    ("callbacks.flow.draw_every=3", r"callbacks.flow.draw_every=3: .*dictionary"),
    ("callbacks.flow.cut_every=0", r"cut_every=0; give 1 or more"),
    ("callbacks.flow.probes=3", r"no option 'callbacks.flow.probes'"),
    ("callbacks.baselines.slices=1", r"callbacks.baselines.slices=1; give 2 or more"),
    ("callbacks.baselines.every_n_epochs=0", r"callbacks.baselines.every_n_epochs=0"),
    ("callbacks.checkpoints.every_n_epochs=0", r"callbacks.checkpoints.every_n_epochs=0; give 1"),
    ("callbacks.checkpoints.every_n_epochs=-3", r"callbacks.checkpoints.every_n_epochs=-3"),
    ("callbacks.checkpoints.folder=null", r"callbacks.checkpoints.folder=None"),
    ("callbacks.learning_rate.logging_interval=day", r"logging_interval='day'"),
    ("callbacks.soundness.every=2", r"no option 'callbacks.soundness.every'"),
    ("callbacks.flow=3", r"callbacks.flow=3; name its class, callbacks.flow._target_="),
    ("callbacks.mine=3", r"callbacks.mine=3; name its class"),
    ("callbacks.mine=[a]", r"callbacks.mine=\['a'\]; name its class"),
    ("callbacks.mine.every=3", r"callbacks.mine has no class; give callbacks.mine._target_="),
    ("callbacks.mine._target_=null", r"callbacks.mine: cannot import 'None'"),
    ("callbacks.mine={_target_:torch.nn.ReLU}", r"callbacks.mine: torch.nn.ReLU is no Callback"),
    (f"{BEST}monitor:val/loss}}", r"callbacks.best.monitor=val/loss is not logged; allowed"),
    (f"{BEST}monitor:test/dice/mean}}", r"test cases are never used to choose anything; say"),
    (f"{BEST}mode:upwards}}", r"callbacks.best.mode='upwards': .*mode=min works"),
    (f"{BEST}save_top_k:-7}}", r"callbacks.best.save_top_k=-7: .*save_top_k=1 works"),
    (f"{STOP}monitor:null}}", r"callbacks.stop.monitor=None"),
    (f"{STOP}monitor:test/dice/liver}}", r"callbacks.stop.monitor=test/dice/liver: test cases"),
    (f"{STOP}monitor:val/dice/mean,mode:up}}", r"callbacks.stop.mode='up'"),
    (f"{STOP}patience:3}}", r"callbacks.stop: monitor is missing"),
    (f"{MINE}Timer,duration:soon}}", r"callbacks.mine.duration='soon'"),
    (f"{MINE}EMAWeightAveraging,decay:2}}", r"callbacks.mine.decay=2; give 0 or more"),
    (f"{MINE}StochasticWeightAveraging,swa_lrs:-1}}", r"swa_lrs=-1"),
    (f"{MINE}GradientAccumulationScheduler,scheduling:{{0:0}}}}", r"greater than 0"),
    (f"{MINE}ModelPruning,pruning_fn:scissors}}", r"pruning_fn='scissors'"),
    (f"{MINE}EarlyStoping}}", r"callbacks.mine: cannot import"),
    # loggers
    ("logger.tensorboard=null", r"callbacks.learning_rate writes to a logger.*learning_rate=null"),
    ("logger.tensorboard=3", r"logger.tensorboard=3; name its class"),
    ("logger.tensorboard.save_dir=null", r"logger.tensorboard.save_dir=None"),
    ("logger.tensorboard.flush=3", r"no option 'logger.tensorboard.flush'"),
    ("logger.mine.save_dir=here", r"logger.mine has no class"),
    ("logger.mine={_target_:torch.nn.ReLU}", r"logger.mine: torch.nn.ReLU is no Logger"),
    (f"{LOGGER}CVSLogger}}", r"logger.mine: cannot import"),
    ("speed=3", r"no option 'speed'"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "message"), WRONG, ids=[typed for typed, _ in WRONG])
def test_a_wrong_value_is_one_line_before_any_data_is_read(composed, typed, message):
    with pytest.raises(InputError, match=message) as caught:
        accept(with_typed(composed, typed))
    assert "\n" not in str(caught.value)
    *_, remedy = str(caught.value).split("; ")
    if remedy.endswith(" works"):
        accept(with_typed(composed, typed, remedy.removesuffix(" works")))


RIGHT = [
    (),
    ("trainer.max_epochs=-1", "trainer.max_steps=8"),
    ("trainer.max_epochs=null", "trainer.max_time=00:00:10:00", "model.scheduler=null"),
    ("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", "trainer.deterministic=true"),
    ("logger.tensorboard=null", "callbacks.learning_rate=null"),
    ("callbacks.soundness=null", "callbacks.flow=null", "callbacks.baselines=null"),
    ("callbacks.flow.draw_every={seg_grad_cam:2,layer_cam:3,charts:1}",),
    ("callbacks.flow.draw_every=null", "callbacks.flow.cut_every=null"),
    ("model.scheduler=null", f"{SGD}momentum:0.9,nesterov:true}}"),
    (f"{TORCH}CosineAnnealingLR}}", "model.optimizer.lr=0"),
    (f"{OURS}polynomial,power:2}}", "model.dice_weight=0"),
    ("model.optimizer={_target_:torch.optim.LBFGS,_partial_:true}", "model.channels_last=false"),
    (f"{BEST}monitor:val/dice/mean,mode:max}}", f"{STOP}monitor:train/loss,patience:3}}"),
    (f"{MINE}EMAWeightAveraging}}",),
    (f"{LOGGER}CSVLogger,save_dir:/nowhere}}",),
    ("callbacks.mine={_target_:collections.Counter,whatever:2}",),  # the user's, made later
    ("model.optimizer={_target_:collections.Counter,_partial_:true}",),
]


@pytest.mark.parametrize("typed", RIGHT, ids=[" ".join(typed) for typed in RIGHT])
def test_what_makes_sense_passes_and_touches_no_folder(composed, typed):
    accept(with_typed(composed, *typed))
    assert not Path("/nowhere").exists()


def test_the_real_weights_are_tried_without_a_step():
    weights = nn.Conv2d(1, 2, 3)
    before = weights.weight.clone()
    options = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}
    check_optimisation({"optimizer": options}, weights.parameters())
    assert torch.equal(weights.weight, before)
    assert weights.weight.grad is None
    with pytest.raises(InputError, match="only supports 2D"):
        check_optimisation(
            {"optimizer": {"_target_": "torch.optim.Muon", "_partial_": True}}, weights.parameters()
        )


def test_rehearsing_draws_nothing_at_random(composed):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    accept(composed)
    assert torch.equal(torch.rand(3), expected)


def test_which_epoch_is_the_best_is_known_before_the_state_is_kept():
    keeper, best = EpochCheckpoints("/nowhere"), BestCheckpoint("/nowhere")
    assert _in_order([keeper, best], {}) == [best, keeper]
