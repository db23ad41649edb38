"""train.py in two processes on the CPU: one folder, every slice counted once, one end for all."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import segtrace
from helpers.scripts import ROOT, SMALL_NET, run_script, tiny_data
from segtrace.activation import predicted
from segtrace.checkpoint.loading import load
from segtrace.data.modules import SynapseData
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import flow_tag
from training.callbacks.test_flow import fit, watch

pytestmark = pytest.mark.long
ORGANS = ["spleen", "left_kidney", "liver", "stomach"]
SLOW = "callbacks.slow._target_=helpers.slow_first.SlowFirst"


@pytest.fixture(scope="module", autouse=True)
def _helpers_are_found():
    """By the scripts too, which import the callback."""
    with pytest.MonkeyPatch.context() as patch:
        path = [str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        yield


@pytest.fixture(scope="module")
def uneven(tiny_raw, tmp_path_factory):
    """Seven slices to validate on: of two processes one gets four, and one three and a repeat."""
    root = shutil.copytree(tiny_raw, tmp_path_factory.mktemp("uneven") / "Training")
    for path in root.glob("*/*0027.nii.gz"):
        nibabel.save(nibabel.load(path).slicer[..., :7], path)
    return root


@pytest.fixture(scope="module", params=["softmax", "sigmoid"])
def ran(request, uneven, tmp_path_factory):
    """One epoch; the folder of the run is left to Hydra, which names it by the time."""
    cwd = tmp_path_factory.mktemp("two")
    ran = run_script(
        "train.py",
        *tiny_data(uneven),
        *SMALL_NET,
        f"model.activation={request.param}",
        "trainer.devices=2",
        "trainer.strategy=ddp",
        "trainer.max_epochs=1",
        "explain.rules=[grad_pam]",
        "callbacks.flow.cut_every=null",
        "data.cache_dir=cache",
        "test=true",
        cwd=cwd,
    )
    assert ran.code == 0, ran.err[-3000:]
    return cwd, ran


def the_run(cwd: Path) -> Path:
    """The only folder of a run."""
    (folder,) = cwd.glob("outputs/*/*")
    return folder


def test_there_is_one_folder_and_one_account_of_it(ran):
    cwd, said = ran
    folder = the_run(cwd)
    made = {"checkpoints", "flow", "dice.csv", "dice_test.csv", "test"}
    assert {path.name for path in folder.iterdir()} >= made
    for words in (
        "Cases: 2 train",
        "\nDice of the validation cases",
        "Explain    python",
        "Scoring 1 test case",
    ):
        assert said.out.count(words) == 1
    assert "DistributedSampler" not in said.err
    assert "sync_dist" not in said.err
    assert said.err == ""
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["epoch_000.ckpt", "epoch_001.ckpt", "last.ckpt"]


def test_every_voxel_is_counted_once(ran, uneven):
    """As one process counts with the weights of the checkpoint, slice by slice."""
    cwd, _ = ran
    folder = the_run(cwd)
    loaded = load(folder / "checkpoints" / "epoch_001.ckpt")
    split = {"train": ["0005", "0006"], "val": ["0027"]}
    data = SynapseData(str(uneven), organs=ORGANS, size=64, split=split, batch_size=7,
                       cache_dir=str(cwd / "cache"))  # fmt: skip
    (batch,) = data.val_dataloader()
    with torch.no_grad():
        logits, true = loaded.net(batch["image"]), batch["label"][:, 0]
    activation = loaded.description["explain"]["activation"]
    found = predicted(logits, activation)
    rows = {row["organ"]: row for row in read_table(folder / "dice.csv")}
    assert list(rows) == ORGANS
    for channel, organ in enumerate(ORGANS, 1):
        p = found[:, channel - 1] if activation == "sigmoid" else found == channel
        t = true == channel
        counts = [int(mask.sum()) for mask in (p & t, p, t)]
        row = rows[organ]
        assert counts == [
            int(row[f"{name}_voxels"]) for name in ("intersection", "predicted", "true")
        ]
        assert float(row["dice"]) == pytest.approx(2 * counts[0] / (counts[1] + counts[2]))
        assert loaded.description["dice"][organ] == pytest.approx(float(row["dice"]))
        assert loaded.description["found"]["0027"][organ]["voxels"] == counts[1]
    assert sum(int(row["true_voxels"]) for row in rows.values()) > 0


def test_every_voxel_of_the_test_cases_is_counted_once(ran):
    cwd, _ = ran
    folder = the_run(cwd)
    loaded = load(folder / "checkpoints" / "epoch_001.ckpt")
    rows = {row["organ"]: row for row in read_table(folder / "dice_test.csv")}
    whole = {row["organ"]: row for row in read_table(folder / "test" / "evaluation.csv")}
    assert list(rows) == list(whole) == ORGANS
    for organ in ORGANS:  # in files of the network's own size
        assert float(rows[organ]["true_voxels"]) * 0.15e-3 * 1000 == pytest.approx(
            float(whole[organ]["true_ml"])
        )
    assert loaded.description["epoch"] == 1


def test_the_flow_is_drawn_and_logged_once(ran):
    cwd, _ = ran
    folder = the_run(cwd)
    rows = [tuple(row.values()) for row in read_table(folder / "flow" / "measures.csv")]
    assert len(rows) == len(set(rows)) == 2 * 4 * 10 * 3  # epochs, organs, stages, probes
    events = EventAccumulator(str(folder / "tensorboard"), {"images": 0, "scalars": 0}).Reload()
    assert [e.step for e in events.Images(flow_tag("grad_pam", "liver"))] == [0, 1]
    assert [e.step for e in events.Scalars("val/dice/mean")] == [0, 1]


@pytest.fixture(scope="module")
def begun(uneven, tmp_path_factory):
    """One epoch in one process; after the second the first process takes its time."""
    cwd = tmp_path_factory.mktemp("begun")
    for name in ("RUN", "pids"):
        (cwd / name).mkdir()
    ran = run_script(
        "train.py", *tiny_data(uneven), *SMALL_NET, "trainer.max_epochs=1",
        "explain.rules=[grad_pam]", "callbacks.flow.cut_every=null", f"data.cache_dir={cwd}/cache",
        SLOW, f"callbacks.slow.folder={cwd}/pids", f"hydra.run.dir={cwd}/RUN", cwd=cwd,
    )  # fmt: skip
    assert ran.code == 0, ran.err[-3000:]
    return cwd


def go_on(cwd):
    """The run that goes on in two processes, and their numbers, as soon as the first is slow."""
    for path in (cwd / "pids").iterdir():
        path.unlink()
    asked = [f"resume={cwd}/RUN", "trainer.devices=2", "trainer.max_epochs=2", SLOW]
    named = f"callbacks.slow.folder={cwd}/pids"
    first = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *asked, named],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    while len([*(cwd / "pids").iterdir()]) < 2 and first.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    return first, [int((cwd / "pids" / rank).read_text()) for rank in "01"]


def test_all_processes_end_when_one_does_and_the_run_goes_on_in_as_many(begun):
    for told, number, code, said in (
        (0, signal.SIGTERM, 143, "train.py: stopped by SIGTERM; "),
        (1, signal.SIGKILL, 1, "train.py: process 2 of 2 was ended by SIGKILL, by a lack of "
         "memory perhaps, so the training has ended; "),
    ):  # fmt: skip
        first, processes = go_on(begun)
        os.kill(processes[told], number)
        _, err = first.communicate(timeout=60)  # until none is left that could write
        assert first.returncode == code, err
        assert err == (
            f"{said}{begun}/RUN is whole up to epoch 1; to go on: python train.py "
            f"resume={begun}/RUN {SLOW} callbacks.slow.folder={begun}/pids\n"
        )
    first, _ = go_on(begun)
    out, err = first.communicate(timeout=120)  # the first is slower than the others' time-out
    assert (first.returncode, err) == (0, "")
    assert "The schedule now has 4 steps instead of 3" in out
    kept = sorted(path.name for path in (begun / "RUN" / "checkpoints").glob("epoch_*"))
    assert kept == ["epoch_000.ckpt", "epoch_001.ckpt", "epoch_002.ckpt"]
    rows = [tuple(row.values()) for row in read_table(begun / "RUN" / "flow" / "measures.csv")]
    assert len(rows) == len(set(rows)) == 3 * 4 * 10 * 3


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
def test_the_callback_asks_nothing_that_all_processes_must_answer_together(tmp_path, monkeypatch):
    """It works in the first one alone: the others would never answer."""

    asked = pl.Trainer.log_dir.fget

    def ask(trainer):
        caller = Path(inspect.stack()[1].filename)
        assert Path(segtrace.__file__).parent not in caller.parents, "it waits for all processes"
        return asked(trainer)

    monkeypatch.setattr(pl.Trainer, "log_dir", property(ask))
    fit(tmp_path, [watch()], epochs=1)
    assert (tmp_path / "tb" / "flow" / "measures.csv").is_file()
