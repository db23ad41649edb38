"""A checkpoint explained from Python: what the callback logged, and what explain.py would write."""

import sys
from dataclasses import replace
from importlib import import_module

import pytest

import segtrace
from segtrace import InputError
from segtrace.report.tables import read_table, save_table
from segtrace.studies.inputs.trained_network import from_checkpoint

module = import_module("segtrace.studies.explain_checkpoint")

EPOCH = 2


@pytest.fixture(scope="module")
def checkpoint(run):
    return run.folder / "checkpoints" / f"epoch_{EPOCH:03d}.ckpt"


def test_it_equals_what_the_callback_logged_to_the_last_digit(run, checkpoint, tmp_path):
    flushed = sys.float_info.min / 2 == 0
    explained = segtrace.explain_checkpoint(checkpoint)
    assert (sys.float_info.min / 2 == 0) == flushed
    save_table(tmp_path / "measures.csv", explained.rows())
    logged = [row for row in read_table(run.folder / "flow" / "measures.csv")
              if row["epoch"] == str(EPOCH)]  # fmt: skip
    assert read_table(tmp_path / "measures.csv") == logged
    assert explained.record.epoch == EPOCH


def test_it_writes_the_files_of_one_network(checkpoint, tmp_path):
    explained = segtrace.explain_checkpoint(
        str(checkpoint), tmp_path / "out", rules=["grad_pam"], organs=["liver"], region="pred"
    )
    assert (explained.record.flow.rules, explained.record.flow.organs) == (
        ("grad_pam",),
        ("liver",),
    )
    found = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.*")}
    assert found >= {"index.html", "maps.npz", "measures.csv", "manifest.json",
                     "figures/grad_pam/liver.png"}  # fmt: skip
    with pytest.raises(InputError, match="holds results already"):
        segtrace.explain_checkpoint(checkpoint, tmp_path / "out")


def test_other_epochs_are_no_mistake_of_its_own(checkpoint):
    explained = segtrace.explain_checkpoint(checkpoint, rules=["grad_pam"], organs=["liver"])
    with pytest.raises(InputError, match=r"epoch=1: these maps are of epoch 2; explain that"):
        explained.show("liver", epoch=1)
    assert "epoch 2" in repr(explained.show("liver", epoch=EPOCH))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.ckpt"], "path=nowhere.ckpt: no such file; name one checkpoint"),
        ([3], "path is 3"),
        ([["a.ckpt"]], r"path is \['a.ckpt'\]; give a path"),
    ],
)
def test_what_is_no_checkpoint_is_one_line(arguments, said):
    with pytest.raises(InputError, match=said) as found:
        segtrace.explain_checkpoint(*arguments)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"organs": ["livre"]}, "did you mean liver"),
        ({"stages": ["enc9"]}, "enc9"),
        ({"region": "sky"}, "sky"),
        ({"measures": "some"}, "some"),
        ({"rules": ["grad_pom"]}, "did you mean grad_pam"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(checkpoint, option, said):
    with pytest.raises(InputError, match=said) as found:
        segtrace.explain_checkpoint(checkpoint, **option)
    assert "\n" not in str(found.value)


def test_a_checkpoint_without_slices_is_explained_beside_its_data(checkpoint, monkeypatch):
    def without_images(*arguments):
        found = from_checkpoint(*arguments)
        named = {key: value for key, value in found.probes.items() if key != "images"}
        return replace(found, probes=named)

    monkeypatch.setattr(module, "from_checkpoint", without_images)
    with pytest.raises(InputError, match=r"holds no slices .*: python explain.py checkpoint="):
        segtrace.explain_checkpoint(checkpoint)
