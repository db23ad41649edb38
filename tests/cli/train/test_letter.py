"""What is told of a run of the published protocol: each thing that differs, and nothing else."""

import pytest
from hydra import compose, initialize_config_dir

from helpers.scripts import ROOT
from segtrace.cli.entry import opened
from segtrace.cli.schema import plainly
from segtrace.cli.train.letter import NAME, Letter
from segtrace.data.cases import TEST12, TRAIN18, VAL3, without
from segtrace.data.sources import PhantomSource

PROTOCOL = {"train": TRAIN18, "val": (), "test": TEST12}
PUBLISHED = {"train": without(TRAIN18, VAL3), "val": VAL3, "test": TEST12}
THEIR_NETWORK = ("+model.net.pretrained=true", "model.net._target_=networks.TransUNet")
USUAL = ("data=synapse", "data.root=/somewhere", "data.num_workers=4", "trainer.accelerator=cpu",
         "data.cache_dir=/cache", "callbacks.flow.cut_every=5", "explain.rules=[grad_pam]",
         "probes.n=3", "data.batch_size=24")  # fmt: skip
"""What is typed and changes no number, or nothing at all."""
FOLDERS = ("callbacks.flow.folder=.", "callbacks.checkpoints.folder=.",
           "logger.tensorboard.save_dir=.")  # fmt: skip


def letter_of(*typed, experiment=NAME):
    arguments = [*USUAL, *(() if experiment is None else [f"experiment={experiment}"]), *typed]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*map(opened, arguments), *FOLDERS])
    choices = {"experiment": experiment, "data": "synapse", "model": "flexible_unet"}
    return Letter.of(choices, arguments), plainly(config)


def told(*typed, split=PROTOCOL, source=None):
    letter, config = letter_of(*typed)
    return letter.differences(config, split, source)


def test_where_nothing_differs_nothing_is_told():
    assert told(*THEIR_NETWORK) == []
    assert told(*THEIR_NETWORK, "model.loss=dice_ce", "+model.dice_weight=0.5") == []


def test_the_default_network_is_told_and_that_it_begins_with_random_weights():
    assert told("+model.net.width=16") == [
        "the network is FlexibleUNet, theirs TransUNet (R50-ViT-B_16)",
        "it begins with random weights, theirs with those of ImageNet",
    ]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("data.batch_size=8", "data.batch_size=8, theirs is 24"),
        ("data.augment=none", "data.augment=none, theirs is transunet"),
        ("data.resizing=linear", "data.resizing=linear, theirs is cubic"),
        ("data.window=[-160,240]", "data.window=[-160,240], theirs is [-125,275]"),
        ("data.organs=btcv13", "data.organs=btcv13, theirs is synapse8"),
        ("data.steps_per_epoch=9", "data.steps_per_epoch=9, theirs is null"),
        ("model.optimizer.lr=0.05", "model.optimizer.lr=0.05, theirs is 0.01"),
        ("model.scheduler=null", "model.scheduler.late=null, theirs is true"),
        ("+model.dice_weight=0.6", "model.dice_weight=0.6, theirs is 0.5"),
        ("+trainer.max_steps=2", "trainer.max_steps=2, theirs is -1"),
        ("trainer.devices=2", "trainer.devices=2, theirs is 1"),
        ("model.loss=dice", "model.loss=dice, theirs is dice_ce"),
        ("trainer.max_epochs=2", "trainer.max_epochs=2, theirs is 150"),
        ("trainer.precision=bf16-mixed", "trainer.precision=bf16-mixed, theirs is 32-true"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1 is not said in theirs"),
        ("seed=1", "seed=1, theirs is 1234"),
        ("+model.net.width=16", "model.net.width=16 is not said in theirs"),
        ("test=false", "the last epoch is not scored by transunet: say test=transunet"),
        ("test=true", "the last epoch is not scored by transunet: say test=[strict,transunet]"),
        ("+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping",
         "callbacks.stop takes part, which theirs has not"),
    ],
)  # fmt: skip
def test_what_is_typed_and_differs_is_told(typed, words):
    found = told(*THEIR_NETWORK, typed)
    assert words in found
    assert len(found) == 1 or typed == "model.scheduler=null"


def test_cases_are_told_as_they_are():
    own = {"train": ("a",), "val": ("b",), "test": ()}
    assert told(*THEIR_NETWORK, "data.split=published", split=PUBLISHED) == [
        "3 cases of 18 validate (0027, 0028, 0037), theirs trains on all"
    ]
    assert told(*THEIR_NETWORK, "data.split={train:[a],val:[b]}", split=own) == [
        "2 cases train, and not the 18 published ones",
        "0 cases test, and not the 12 published ones",
        "1 case of 2 validate (b), theirs trains on all",
    ]
    fewer = PROTOCOL | {"test": TEST12[:3]}
    assert told(*THEIR_NETWORK, split=fewer) == ["3 cases test, and not the 12 published ones"]
    phantom = object.__new__(PhantomSource)
    assert told(*THEIR_NETWORK, source=phantom) == [
        "the images are a generated phantom, theirs Synapse"
    ]


def test_another_experiment_is_no_letter():
    for experiment in (None, "planted"):
        letter, _ = letter_of(experiment=None)
        assert Letter.of({"experiment": experiment}, ()) is None
        assert letter is None
