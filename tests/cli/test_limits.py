"""Values that constructors take and fail on later, or quietly misread."""

import pytest

from segtrace import InputError
from segtrace.cli.limits import LARGEST_SEED, check_end, check_limits, leaves, protocols_of

PLAIN = {
    "seed": 0,
    "test": False,
    "trainer": {"max_epochs": 2},
    "model": {"scheduler": {"_target_": "x"}, "optimizer": {"lr": 0.1}},
    "data": {"window": [-125.0, 275.0]},
}


def changed(part: str, **values):
    return PLAIN | {part: PLAIN[part] | values}


def test_plain_values_pass():
    check_limits(PLAIN)
    check_limits(PLAIN | {"seed": LARGEST_SEED, "test": True})
    check_limits(changed("trainer", gradient_clip_val=0, val_check_interval=0.5, max_steps=-1))
    check_limits(changed("trainer", check_val_every_n_epoch=None, val_check_interval="00:01:00:00"))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**33, 1.0, True, None, "0", [0]])
def test_a_seed_is_one_that_numpy_takes(seed):
    with pytest.raises(InputError, match=r"^seed=.*; give a whole number from 0 to 4294967295$"):
        check_limits(PLAIN | {"seed": seed})


@pytest.mark.parametrize(
    ("test", "protocols"),
    [(False, ()), (True, ("strict",)), ("transunet", ("transunet",)),
     (["transunet", "strict", "transunet"], ("transunet", "strict"))],
)  # fmt: skip
def test_test_cases_are_scored_by_the_protocols_that_are_named(test, protocols):
    check_limits(PLAIN | {"test": test})
    assert protocols_of(test) == protocols


@pytest.mark.parametrize("test", [1, 0, "maybe", None, ["0001"], [], ["strict", 1], [["strict"]]])
def test_whether_to_score_the_test_cases_is_yes_or_no(test):
    with pytest.raises(InputError, match="; give true or false"):
        check_limits(PLAIN | {"test": test})


def test_test_cases_that_the_trainer_leaves_out_cannot_be_scored():
    leaving_out = changed("trainer", limit_test_batches=0)
    check_limits(leaving_out)
    with pytest.raises(InputError, match="test=true scores nothing"):
        check_limits(leaving_out | {"test": True})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0; give 1 or more"),
        ({"check_val_every_n_epoch": 0}, "check_val_every_n_epoch=0; give 1 or more"),
        ({"log_every_n_steps": -1}, "log_every_n_steps=-1; give 1 or more"),
        ({"gradient_clip_val": -0.1}, "gradient_clip_val=-0.1; give 0 or more"),
        ({"val_check_interval": 0.0}, "val_check_interval=0.0; give more than 0"),
        ({"limit_train_batches": 0}, "limit_train_batches=0; give more than 0"),
        ({"max_epochs": 0}, "max_epochs=0; give 1 or more"),
        ({"max_epochs": -2}, "max_epochs=-2; give 1 or more"),
        ({"max_steps": 0}, "max_steps=0; give 1 or more, or -1"),
        ({"callbacks": []}, "callbacks is filled in by train.py; say callbacks.<a name>"),
        ({"logger": False}, "logger is filled in by train.py; say logger.<a name>"),
        ({"max_time": -1}, "max_time=-1; give days, hours, minutes and seconds, .*00:12:00:00"),
        ({"max_time": {"hours": -1}}, "max_time={'hours': -1}; give days"),
        ({"devices": 1000000}, "devices=1000000; give 256 or less"),
        ({"devices": "257"}, "devices=257; give 256 or less"),
        ({"default_root_dir": "here"}, "default_root_dir is filled in by .*; say hydra.run.dir"),
    ],
)
def test_options_of_the_trainer_are_bounded(options, message):
    with pytest.raises(InputError, match=f"^trainer.{message}"):
        check_limits(changed("trainer", **options))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_every_number_is_finite_wherever_it_stands(value):
    for part, options, where in (
        ("model", {"optimizer": {"lr": value}}, r"model.optimizer.lr"),
        ("data", {"window": [value, 275.0]}, r"data.window\[0\]"),
    ):
        with pytest.raises(InputError, match=rf"^{where}={value}; give a finite number"):
            check_limits(changed(part, **options))


@pytest.mark.parametrize("epochs", [None, -1])
def test_a_training_without_an_end_is_refused_and_not_given_a_thousand_epochs(epochs):
    said = "null" if epochs is None else "-1"
    with pytest.raises(InputError, match=rf"^trainer.max_epochs={said}: the training has no end"):
        check_end({"max_epochs": epochs}, None)
    with pytest.raises(InputError, match=rf"{said}: the schedule .* must know its end"):
        check_end({"max_epochs": epochs, "max_time": "00:01:00:00"}, {"_target_": "x"})
    check_end({"max_epochs": epochs, "max_time": "00:01:00:00"}, None)
    check_end({"max_epochs": epochs, "max_steps": 8}, {"_target_": "x"})


@pytest.mark.parametrize("kind", ["epochs", "steps"])
def test_a_training_that_must_last_longer_than_it_may_is_refused(kind):
    given = {f"min_{kind}": 3, f"max_{kind}": 1}
    with pytest.raises(InputError, match=rf"min_{kind}=3 is more than trainer.max_{kind}=1; low"):
        check_end(given, None)
    check_end(given | {f"max_{kind}": 3}, None)
    check_end(given | {f"min_{kind}": None}, None)


def test_leaves_have_their_path():
    node = {"a": {"b": [1, {"c": None}]}, "d": "e"}
    assert dict(leaves(node)) == {"a.b[0]": 1, "a.b[1].c": None, "d": "e"}


@pytest.mark.parametrize("decay", [1, 1.0, 1.5, -0.1, True, "much"])
def test_an_average_of_weights_moves_and_does_not_run_away(decay):
    ema = {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": decay}
    with pytest.raises(InputError, match=r"callbacks\.ema\.decay=.*; give 0 or more and less than"):
        check_limits(PLAIN | {"callbacks": {"best": None, "ema": ema}})
    for fine in (0, 0.5, 0.999):
        check_limits(PLAIN | {"callbacks": {"ema": ema | {"decay": fine}}})
