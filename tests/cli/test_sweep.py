"""Several runs by one command: one after the other, as jobs, and not of several processes each."""

import pytest

from helpers.scripts import SMALL_NET, answer_of, run_script, tiny_data
from segtrace.report.tables import read_table

SWEEP = (
    *SMALL_NET,
    "trainer.max_epochs=1",
    "explain.rules=[grad_pam]",
    "callbacks.flow.cut_every=null",
    "data.steps_per_epoch=1",
    "hydra.sweep.dir=sweep",
)


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_each_run_of_a_sweep_has_a_folder_of_its_own(launcher, tiny_raw, tmp_path):
    own = [f"hydra/launcher={launcher}"]
    if launcher == "submitit_local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
        own += ["hydra.launcher.timeout_min=5", "hydra.launcher.cpus_per_task=1"]
    cache = f"data.cache_dir={tmp_path}/cache"
    asked = ["-m", *tiny_data(tiny_raw), *SWEEP, cache, *own, "seed=1,2"]
    ran = run_script("train.py", *asked, cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    for number in "01":
        assert (tmp_path / "sweep" / number / "checkpoints" / "epoch_001.ckpt").is_file()
        assert len(read_table(tmp_path / "sweep" / number / "dice.csv")) == 4
    one, two = ((tmp_path / "sweep" / n / "checkpoints" / "epoch_000.ckpt") for n in "01")
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.parametrize("rank", [None, "0"])  # "0": as if somebody else started the others
@pytest.mark.parametrize(
    ("asked", "loop"),
    [
        (["seed=1,2"], "for value in 1 2; do python train.py seed=$value trainer.devices=2"),
        (["seed=1,2", "data.size=64,96"], "for seed in 1 2 3; do python train.py seed=$seed"),
        (["seed=range(3)"], "for seed in 1 2 3; do python train.py seed=$seed"),
    ],
)
def test_a_sweep_of_runs_of_several_processes_is_refused_before_any_work(
    asked, loop, rank, tmp_path, monkeypatch
):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    cpu = ["trainer.devices=2", "trainer.accelerator=cpu"]
    ran = answer_of("train.py", "-m", *asked, *cpu, f"hydra.sweep.dir={tmp_path}/sweep")
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert "trainer.devices=2 and -m do not go together: each of a run's" in line
    assert loop in line
    assert line.endswith("; done")
    assert not [*tmp_path.glob("sweep/*/config.yaml")]


def test_shared_statistics_of_batches_need_gpus(tmp_path):
    ran = answer_of(
        "train.py", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu",
        "trainer.sync_batchnorm=true", f"hydra.run.dir={tmp_path}/run",
    )  # fmt: skip
    assert ran.code == 1
    assert "trainer.sync_batchnorm=true needs GPUs" in ran.err
