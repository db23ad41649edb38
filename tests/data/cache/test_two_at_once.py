"""Several trainings fill one cache at once, one of them is killed: nobody waits, all is whole."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.scripts import ROOT

pytestmark = pytest.mark.long
FILLS = f"""
import os, signal, sys
import numpy as np
sys.path.insert(0, {str(ROOT / "tests")!r})
from data.test_prepare import SETTINGS
from helpers.prepared import prepare
from segtrace.data.sources import RawSource
source, save = RawSource(sys.argv[1]), np.save
def killed(path, array):
    save(path, array[:1])
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "killed":
    np.save = killed
print("ready", flush=True)
sys.stdin.readline()
for case in prepare(source, source.cases(), SETTINGS, sys.argv[2]):
    print(case.folder.name)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_but_the_killed_one_finish_and_every_entry_is_whole(tiny_raw, tmp_path):
    fillers = [
        subprocess.Popen(
            [sys.executable, "-c", FILLS, str(tiny_raw), str(tmp_path), how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for how in ("", "killed", "")
    ]  # fmt: skip
    for filler in fillers:
        assert filler.stdout.readline() == "ready\n", filler.communicate()
    for filler in fillers:
        print("go", file=filler.stdin, flush=True)
    first, killed, other = [
        (*filler.communicate(timeout=100), filler.returncode) for filler in fillers
    ]
    assert killed[2] == -signal.SIGKILL
    assert first[1:] == other[1:] == ("", 0)
    lines = [
        [line for line in out.splitlines() if "-" in line and " " not in line]
        for out in (first[0], other[0])
    ]
    assert lines[0] == lines[1]
    left = {name for name in names(tmp_path) if not name.startswith(".partial")}
    assert left == set(lines[0])
    again = subprocess.run(
        [sys.executable, "-c", FILLS, str(tiny_raw), str(tmp_path), ""],
        input="go\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Preparing" not in again.stdout + again.stderr
    assert "damaged" not in again.stderr
    assert names(tmp_path) == left  # what the killed one left is gone
