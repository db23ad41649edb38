import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segtrace.data.cache import drafts
from segtrace.data.cache.drafts import draft, sweep


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_draft_takes_its_name_when_it_is_whole(tmp_path):
    final = tmp_path / "new" / "final"
    with draft(final) as partial:
        (partial / "a").write_text("whole")
        assert not final.exists()
        assert partial.parent == final.parent
    assert (final / "a").read_text() == "whole"
    assert names(final.parent) == ["final"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_after_an_exception_nothing_is_left(tmp_path, error):
    def interrupted():
        with draft(tmp_path / "final") as partial:
            (partial / "a").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_a_folder_that_another_process_finished_first_stays(tmp_path):
    with draft(tmp_path / "final") as late:
        (late / "a").write_text("late")
        with draft(tmp_path / "final") as first:
            (first / "a").write_text("first")
    assert (tmp_path / "final" / "a").read_text() == "first"
    assert names(tmp_path) == ["final"]


def test_a_folder_that_is_not_sound_is_replaced(tmp_path):
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "b").touch()
    with draft(tmp_path / "final", lambda folder: (folder / "a").exists()) as partial:
        (partial / "a").touch()
    assert names(tmp_path / "final") == ["a"]
    assert names(tmp_path) == ["final"]


KILLED = """
import os, pathlib, sys
from segtrace.data.cache.drafts import draft
with draft(pathlib.Path(sys.argv[1])) as partial:
    (partial / "a").touch()
    os.kill(os.getpid(), 9)
"""


def test_a_name_that_others_take_aside_and_give_back_meanwhile_is_had_all_the_same(
    tmp_path, monkeypatch
):
    """As two do that both find an entry damaged."""
    final, replace, calls = tmp_path / "final", Path.replace, []

    def beaten(path, target):
        if target == final and len(calls) < 2:
            calls.append(path)
            if len(calls) == 1:
                raise OSError(39, "Directory not empty")  # and it is gone before one looks
            final.mkdir()
            (final / "b").touch()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", beaten)
    with draft(final, lambda folder: (folder / "a").exists()) as partial:
        (partial / "a").touch()
    assert names(final) == ["a"]
    assert names(tmp_path) == ["final"]


def test_a_draft_of_a_killed_process_is_removed_and_one_of_a_living_process_is_not(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "final")], check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".partial-")
    with draft(tmp_path / "other"):
        assert left not in names(tmp_path)
        (living,) = names(tmp_path)
        sweep(tmp_path)
        assert names(tmp_path) == [living]
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize("name", [".partial-abcdef", ".partial-00000000-1-0a", ".partial-"])
def test_a_draft_whose_process_nobody_knows_goes_after_a_day(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == [name]
    yesterday = time.time() - 25 * 3600
    os.utime(path, (yesterday, yesterday))
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_files_and_other_folders_are_left_alone(tmp_path):
    old = time.time() - 1e6
    (tmp_path / ".partial-file").touch()
    (tmp_path / "partial-folder").mkdir()
    for path in tmp_path.iterdir():
        os.utime(path, (old, old))
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
    assert names(tmp_path) == [".partial-file", "partial-folder"]


def test_the_first_process_of_all_is_alive(tmp_path):
    (tmp_path / f".partial-{drafts._HERE}-1-0a").mkdir()  # somebody else's: may not be asked
    sweep(tmp_path)
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["file", "link to nothing", "link to itself"])
def test_what_is_no_folder_is_replaced(tmp_path, kind):
    final = tmp_path / "final"
    final.touch() if kind == "file" else final.symlink_to(
        {"link to nothing": "gone"}.get(kind, final)
    )
    with draft(final) as partial:
        (partial / "a").touch()
    assert names(final) == ["a"]
    assert names(tmp_path) == ["final"]
