"""What another package's constructor refuses is one line; what goes wrong in ours is not hidden."""

import pytest
import pytorch_lightning as pl
import torch

from segtrace import InputError
from segtrace.data.cases import remedy
from segtrace.training import schedules
from segtrace.training.construction import construct, expect, reason, running

ADAM = "torch.optim.AdamW"


def weights():
    return [torch.nn.Parameter(torch.ones(2))]


def test_the_option_that_is_refused_is_named_with_its_value_and_one_that_is_taken():
    node = {"_target_": ADAM, "lr": -1, "weight_decay": 0.1, "eps": 1e-8}
    with pytest.raises(InputError) as caught:
        construct("model.optimizer", node, weights())
    assert str(caught.value) == (
        "model.optimizer.lr=-1: Invalid learning rate: -1; model.optimizer.lr=0.001 works"
    )


def test_options_that_exclude_one_another_are_both_named():
    node = {"_target_": ADAM, "foreach": True, "fused": True}
    with pytest.raises(InputError, match=r"foreach=True with model.optimizer.fused=True: .*null"):
        construct("model.optimizer", node, weights())


def test_where_no_option_is_to_blame_alone_those_of_the_reason_are_listed():
    node = {"_target_": ADAM, "lr": -1, "eps": -1, "amsgrad": True}
    with pytest.raises(
        InputError, match=r"model.optimizer: torch.optim.AdamW\(lr=-1, eps=-1\): Inv"
    ):
        construct("model.optimizer", node, weights())


def test_what_is_taken_is_made_with_the_objects_handed_over_as_they_are():
    given = weights()
    made = construct("model.optimizer", {"_target_": ADAM, "lr": 0.5}, given)
    assert made.param_groups[0]["params"][0] is given[0]
    assert made.param_groups[0]["lr"] == 0.5


def test_a_list_that_is_handed_over_stays_as_it_was():
    given = [pl.callbacks.ModelSummary(1)]
    construct("trainer", {"_target_": "pytorch_lightning.Trainer"}, callbacks=given, logger=[])
    assert len(given) == 1


class OfTheUser:
    made = 0

    def __init__(self, width: int, height: int = 1):
        OfTheUser.made += 1
        if width < 1:
            raise ValueError("width\nmust be positive.")


def test_a_class_of_the_users_own_is_made_once_and_its_refusal_is_one_line(monkeypatch):
    monkeypatch.setattr(OfTheUser, "made", 0)
    # A class in a module that Hydra can import, as the user's is.
    monkeypatch.setattr("pathlib.OfTheUser", OfTheUser, raising=False)
    node = {"_target_": "pathlib.OfTheUser", "width": 0, "height": 2}
    with pytest.raises(InputError) as caught:
        construct("callbacks.mine", node)
    assert str(caught.value) == (
        "callbacks.mine: pathlib.OfTheUser(width=0): width must be positive"
    )
    assert OfTheUser.made == 1
    with pytest.raises(InputError, match=r"unexpected keyword argument 'depth'"):
        construct("callbacks.mine", {"_target_": "pathlib.OfTheUser", "depth": 3})


def test_a_mistake_that_ours_names_itself_is_told_as_it_is():
    node = {"_target_": "segtrace.training.schedules.one_cycle", "warmup": 2}
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    with pytest.raises(InputError, match=r"^model.scheduler.warmup=2; give more than 0"):
        construct("model.scheduler", node, optimizer, 10)


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def broken(optimizer, steps):
        raise ValueError("a defect")

    monkeypatch.setattr(schedules, "one_cycle", broken)
    node = {"_target_": "segtrace.training.schedules.one_cycle"}
    with pytest.raises(ValueError, match="a defect") as caught:
        construct("model.scheduler", node, None, 10)
    assert not isinstance(caught.value, InputError)


def test_ours_called_by_another_packages_constructor_is_not_blamed_on_the_user():
    node = {"_target_": "torch.optim.lr_scheduler.LambdaLR"}
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    with pytest.raises(TypeError) as caught:
        construct("model.scheduler", node, optimizer, remedy)  # ours, which takes no number
    assert not isinstance(caught.value, InputError)


def test_another_kind_of_object_than_its_place_needs_is_named():
    node = {"_target_": "collections.Counter"}
    with pytest.raises(InputError, match=r"callbacks.a: collections.Counter is no Callback of pyt"):
        expect("callbacks.a", node, construct("callbacks.a", node), pl.Callback)


def test_a_reason_is_a_part_of_a_line_and_not_endless():
    assert reason(ValueError("one\n  two.\n")) == "one two"
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 1000))) < 310


def test_what_lightning_refuses_while_it_runs_is_one_line():
    trainer = pl.Trainer(logger=False, barebones=True, accelerator="cpu", max_epochs=1)
    with pytest.raises(InputError, match=r"^Lightning refuses this: .*LightningModule"), running():
        trainer.fit(torch.nn.Linear(1, 1))


class TwoHeads(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.used, self.other = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.used(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters())


@pytest.mark.filterwarnings("ignore:.*many workers.*", "ignore:.*LeafSpec.*", "ignore:.*GPU.*")
def test_weights_that_no_loss_reaches_are_named_to_ddp_by_the_word_that_is_said():
    batches = torch.utils.data.DataLoader(torch.ones(4, 1))

    def fit(strategy):
        quiet = {"logger": False, "barebones": True, "accelerator": "cpu", "devices": 1}
        trainer = pl.Trainer(strategy=strategy, max_epochs=1, **quiet)
        try:
            trainer.fit(TwoHeads(), batches)
        finally:
            torch.distributed.destroy_process_group()

    with pytest.raises(InputError, match=r"have no part in its logits .*; say ") as said, running():
        fit("ddp")
    fit(str(said.value).split("trainer.strategy=")[1])


class Defective(pl.LightningModule):
    def training_step(self, batch, batch_idx):
        raise AssertionError

    def configure_optimizers(self):
        return remedy(0)  # ours, which takes no number


def test_a_defect_of_ours_under_the_trainer_keeps_its_traceback():
    trainer = pl.Trainer(logger=False, barebones=True, accelerator="cpu", max_epochs=1)
    with pytest.raises(TypeError) as caught, running():
        trainer.fit(Defective(), [0])
    assert not isinstance(caught.value, InputError)
