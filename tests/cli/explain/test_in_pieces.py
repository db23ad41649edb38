"""A folder of images that is explained in pieces, and what is left at the end of it."""

import shlex
import shutil
import signal
from pathlib import Path

import pytest

from helpers.left_behind import differences, left_by
from segtrace.report.tables import read_table

pytestmark = pytest.mark.long
STATE = "out/images.csv", "out/index.html"
"""Which image was explained before stands there."""


@pytest.fixture(scope="module")
def typed(run, tiny_raw, tmp_path_factory):
    """Options that explain two images, by name."""
    images = tmp_path_factory.mktemp("images") / "images of mine"
    images.mkdir()
    for case, name in (("0001", "a"), ("0005", "b")):
        shutil.copy(tiny_raw / "img" / f"img{case}.nii.gz", images / f"{name}.nii.gz")
    return (f"checkpoint={run.checkpoint(2)}", f"image={images}", "rules=[grad_pam]",
            "stages=[dec4]", "region=all", "probes.n=1", "hydra.run.dir=out")  # fmt: skip


@pytest.fixture(scope="module")
def whole(nursery, typed, tmp_path_factory):
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "here"
    folder.mkdir()
    ended = nursery.run("explain.py", folder, *typed)
    assert ended["code"] == 0, ended["said"][-3000:]
    return left(folder)


def left(folder: Path):
    """File -> what it holds, and what became of each image."""
    rows = read_table(folder / "out" / "images.csv")
    found = {name: what for name, what in left_by(folder).items() if name not in STATE}
    return found | {"rows": [{**row, "state": ""} for row in rows]}


def the_line(ran) -> str:
    (line,) = [one for one in ran["said"].splitlines() if one.startswith("explain.py: ")]
    assert "Traceback" not in ran["said"], ran["said"][-3000:]
    return line


def command_of(line: str) -> list[str]:
    return shlex.split(line.partition("; to go on: python explain.py ")[2])


@pytest.mark.parametrize(
    ("number", "into", "said"),
    [
        (signal.SIGTERM, ".a.part/.maps.npz", "nothing was written"),
        (signal.SIGINT, ".b.part/.index.html", "1 image explained"),
        (signal.SIGTERM, "out/.index.html", "2 images explained"),
        (signal.SIGKILL, ".b.part/.maps.npz", None),
    ],
)
def test_what_is_stopped_anywhere_ends_as_if_nobody_had(
    nursery, typed, whole, number, into, said, tmp_path
):
    folder = tmp_path / "here"
    folder.mkdir()
    stopped = nursery.run("explain.py", folder, *typed, into=into, number=number)
    assert stopped["place"].startswith("write "), stopped["said"][-3000:]
    if said is None:
        assert stopped["killed"]
    else:
        assert stopped["code"] == 128 + number, stopped["said"][-3000:]
        line = the_line(stopped)
        assert f"; {said}" in line
        assert not list(folder.rglob(".*"))
    gone_on(nursery, folder, typed if said is None else command_of(line) or typed, whole)


@pytest.mark.parametrize("into", [".b.part/.index.html", "out/.index.html"])
def test_a_disk_that_gets_full_while_a_page_is_written_is_one_line(
    nursery, typed, whole, into, small
):
    folder = small / "here"
    folder.mkdir()
    full = nursery.run("explain.py", folder, *typed, into=into, filling=small / "filler")
    assert full["code"] == 1, full["said"][-3000:]
    line = the_line(full)
    assert "No space left on device" in line
    (small / "filler").unlink()
    assert not list(folder.rglob(".*.part"))
    gone_on(nursery, folder, command_of(line), whole)


def gone_on(nursery, folder, typed, whole):
    """By a command to the same end; what was whole before is not touched again."""
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("out/*/whole.json")}
    last = nursery.run("explain.py", folder, *typed)
    assert last["code"] == 0, last["said"][-3000:]
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert differences(whole, left(folder)) == []
