"""The same training on the same data, in steps that follow the plan."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segtrace import InputError
from segtrace.cli.train.resume.broken_off import Left
from segtrace.cli.train.resume.continuity import Continuity, cases_of, check_same, plan_anew
from segtrace.training import schedules
from segtrace.training.module import SegmentationModule

OPTIONS = {"seed": 0, "model.optimizer.lr": 0.1, "trainer.precision": "32-true"}


class Source:
    def __init__(self, root):
        self.root = root

    def files(self, case):
        return (self.root / case,)


@pytest.fixture
def data(tmp_path):
    for case in ("0005", "0006", "0027", "0001"):
        (tmp_path / case).write_text(f"image of {case}")
    split = {"train": ("0005", "0006"), "val": ("0027",), "test": ("0001",)}
    return SimpleNamespace(source=Source(tmp_path), split=split)


def left(data, **options) -> Left:
    identity = {"configuration": OPTIONS | options, "cases": cases_of(data), "steps": 4}
    return Left(Path("last.ckpt"), 3, 30, {}, identity)


def check(before, data, **options):
    check_same(before, OPTIONS | options, data, Path("/run"))


def test_the_same_options_and_patients_go_on_wherever_they_lie(data, tmp_path):
    before = left(data)
    check(before, data)
    moved = tmp_path / "moved"
    moved.mkdir()
    for case in ("0005", "0006", "0027"):  # test cases are looked at by no training
        (tmp_path / case).rename(moved / case)
    check(before, SimpleNamespace(source=Source(moved), split=data.split))


@pytest.mark.parametrize("case", ["0005", "0006", "0027"])
def test_another_patient_under_the_same_name_is_named(data, tmp_path, case):
    before = left(data)
    (tmp_path / case).write_text("image of somebody else")
    part = "val" if case == "0027" else "train"
    with pytest.raises(InputError, match=rf"^/run was trained with .*: {part} case {case} has"):
        check(before, data)


def test_cases_that_came_or_went_are_named(data):
    before = left(data)
    data.split = {"train": ("0005",), "val": ("0006",)}
    with pytest.raises(InputError, match=r"train case 0006 is not there any more; give"):
        check(before, data)
    data.split = {"train": ("0005", "0006", "0001"), "val": ("0027",)}
    with pytest.raises(InputError, match=r"train case 0001 was not there; "):
        check(before, data)


def test_a_configuration_that_was_changed_is_named(data):
    for options in ({"model.optimizer.lr": 0.2}, {"model.optimizer.lr": None}, {"data.size": 64}):
        ((name, value),) = options.items()
        said = "null" if value is None else value
        with pytest.raises(InputError, match=rf"^/run/config.yaml says {name}={said}, and "):
            check(left(data), data, **options)
    # An option that may change now, and could not when the checkpoint was written.
    check(left(data, **{"trainer.devices": 1}), data, **{"trainer.devices": 2})


def test_a_checkpoint_of_before_knows_none_of_it(data):
    check(Left(Path("last.ckpt"), 3, 30, {}, None), data)


def test_what_is_kept_are_plain_values():
    kept = Continuity(OPTIONS)
    kept.cases, kept.steps = {"train/0005": "ab"}, 40
    assert kept.state_dict() == {
        "configuration": OPTIONS, "cases": {"train/0005": "ab"}, "steps": 40,
    }  # fmt: skip
    again = Continuity(OPTIONS)
    again.load_state_dict(kept.state_dict())
    assert again.steps == 40


def module_with(schedule) -> SegmentationModule:
    sgd = lambda weights: torch.optim.SGD(weights, lr=0.5, momentum=0.9)  # noqa: E731
    return SegmentationModule(nn.Conv2d(1, 2, 1), {"liver": 1}, sgd, schedule)


def rates(optimizer, schedule, steps):
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("schedule", [schedules.one_cycle, schedules.polynomial])
@pytest.mark.parametrize("done", [10, 4])
def test_a_longer_or_shorter_training_follows_the_plan_of_one_of_that_length(schedule, done):
    module = module_with(schedule)
    expected = rates(*planned(module, 20), 20)
    optimizer, under_way = planned(module, 10)  # the run that was broken off, or had ended
    rates(optimizer, under_way, done)
    momenta = optimizer.state_dict()["state"]
    plan_anew(module, optimizer, SimpleNamespace(scheduler=under_way), 20, done)
    assert rates(optimizer, under_way, 20 - done) == pytest.approx(expected[done:])
    assert optimizer.state_dict()["state"].keys() == momenta.keys()
    assert optimizer.param_groups[0]["momentum"] == 0.9


def planned(module, steps):
    optimizer = module.optimizer(module.parameters())
    return optimizer, module.scheduler(optimizer, steps)
