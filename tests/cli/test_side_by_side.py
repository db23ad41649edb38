"""explain.py in two processes: what one leaves, to the last bit, and one end for all."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from helpers.scripts import ROOT, answer_of, run_script, tiny_data

pytestmark = pytest.mark.long
SECONDS = re.compile(rb'"seconds": [\d.]+|of one slice in \d+ s')


def written(folder):
    """Path -> bytes, without seconds, and without the configuration, which differs."""
    return {
        str(path.relative_to(folder)): SECONDS.sub(b"", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "config.yaml"
    }


def said(ran):
    """The lines without their times."""
    lines = [line.partition("] ")[2].partition(", about")[0] for line in ran.out.splitlines()]
    return [line for line in lines[:-1] if not re.search(r": \d of \d$", line)]


@pytest.fixture(params=["cases", "images"])
def asked(request, run, tiny_raw, tmp_path):
    """Four cases are scored; or three images are explained, one of which is broken."""
    checkpoint = f"checkpoint={run.checkpoint(2)}"
    if request.param == "cases":
        return [checkpoint, "evaluate=true", "study.part=all", *tiny_data(tiny_raw)[:3]]
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(("0001", "0005", "0006")):
        whole = (tiny_raw / "img" / f"img{name}.nii.gz").read_bytes()
        (folder / f"{number}.nii.gz").write_bytes(whole[: None if number != 1 else 2000])
    return [
        checkpoint, f"image={folder}", "rules=[grad_pam]", "stages=[dec4]", "region=all",
        "probes.n=1", "explainer=[rise]", "explainers.rise.masks=50",
    ]  # fmt: skip


def test_two_processes_leave_what_one_does(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ran = {}
    for count in (1, 2):
        where = f"hydra.run.dir={tmp_path}/{count}"
        ran[count] = run_script("explain.py", *asked, where, f"processes={count}", cwd=tmp_path)
        assert ran[count].code == 0, ran[count].err[-2000:]
        assert ran[count].err == ran[1].err
    one, two = (written(tmp_path / str(count)) for count in (1, 2))
    assert one.keys() == two.keys()
    assert len(one) > 10
    assert [name for name in one if one[name] != two[name]] == []
    assert [line.replace(f"{tmp_path}/1 ", f"{tmp_path}/2 ") for line in said(ran[1])] == said(
        ran[2]
    )


@pytest.mark.parametrize("asked", ["cases"], indirect=True)
def test_ctrl_c_ends_all(asked, tmp_path):
    first = subprocess.Popen(
        [sys.executable, str(ROOT / "explain.py"), *asked, "processes=2", "hydra.run.dir=out"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "Scoring" not in first.stdout.readline():
        assert first.poll() is None
    time.sleep(2)
    os.kill(first.pid, signal.SIGINT)
    _, err = first.communicate(timeout=60)  # until none is left that could write
    assert first.returncode == 130
    (line,) = err.splitlines()
    assert line.startswith("explain.py: stopped by Ctrl-C; ")


def test_processes_that_would_share_nothing_are_refused(run, tmp_path):
    ran = answer_of(
        "explain.py",
        f"checkpoint={run.checkpoint(2)}",
        "processes=2",
        f"hydra.run.dir={tmp_path}/x",
    )
    assert ran.code == 1
    assert "processes=2: they share the cases of evaluate=true, or the images of" in ran.err
    ran = answer_of("explain.py", f"checkpoint={run.checkpoint(2)}", "processes=0")
    assert "processes=0; give a whole number from 1 to 256" in ran.err
