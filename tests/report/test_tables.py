import csv
import os
from contextlib import contextmanager

import pytest

from segtrace.errors import InputError
from segtrace.report import tables
from segtrace.report.files import growing
from segtrace.report.tables import append_rows, forget_rows, read_table, save_table

ROWS = [{"epoch": 0, "organ": "liver", "gain": 0.1}, {"epoch": 1, "organ": "liver", "gain": 0.2}]


def test_the_header_is_the_columns_in_order_of_appearance(tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    assert path.read_text() == "epoch,organ,gain\n0,liver,0.1\n1,liver,0.2\n"


def test_appended_rows_follow_the_header_that_is_there(tmp_path):
    path = tmp_path / "measures.csv"
    append_rows(path, ROWS[:1])
    append_rows(path, [{"gain": float("nan"), "epoch": 2}])
    assert path.read_text() == "epoch,organ,gain\n0,liver,0.1\n2,,nan\n"


def test_numbers_come_back_with_all_their_digits(tmp_path):
    value = 0.1 + 0.2
    save_table(tmp_path / "t.csv", [{"x": value}])
    assert float(read_table(tmp_path / "t.csv")[0]["x"]) == value


def test_a_new_column_is_empty_in_the_rows_before(tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    append_rows(path, [{"epoch": 2, "lift": 1}])
    assert path.read_text() == ("epoch,organ,gain,lift\n0,liver,0.1,\n1,liver,0.2,\n2,,,1\n")


def test_a_table_with_a_header_of_its_own_takes_no_other_column(tmp_path):
    with pytest.raises(InputError, match=r"no column 'gain'.*epoch, organ"):
        save_table(tmp_path / "measures.csv", ROWS, ["epoch", "organ"])
    assert not any(tmp_path.iterdir())


def test_an_interrupted_append_leaves_the_table_whole(tmp_path, monkeypatch):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    before = path.read_bytes()

    @contextmanager
    def interrupted(path):
        with growing(path) as file:
            yield file
            file.flush()
            assert path.read_bytes() > before
            raise KeyboardInterrupt

    monkeypatch.setattr(tables, "growing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        append_rows(path, ROWS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_resumed_run_forgets_the_epochs_it_writes_anew(tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    forget_rows(path, "epoch", since=1)
    assert read_table(path) == [{"epoch": "0", "organ": "liver", "gain": "0.1"}]
    forget_rows(path, "epoch", since=0)
    assert path.read_text() == "epoch,organ,gain\n"


def test_a_line_that_a_killed_run_left_torn_is_forgotten(tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, [*ROWS, {"epoch": 12, "organ": "liver", "gain": 0.3}])
    for kept in (b"\n12,liver", b"\n12", b"\n1"):  # the last looks like another epoch
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.index(b"\n12")] + kept)
        forget_rows(path, "epoch", since=12)
        assert [row["epoch"] for row in read_table(path)] == ["0", "1"]
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("cut", "said"),
    [(-3, "its last line has no end"), (-5, "its last line has no end"), (None, "2 values for 3")],
)
def test_a_table_that_was_cut_short_is_told_in_one_line(cut, said, tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    whole = path.read_text()
    path.write_text(whole[:cut] if cut else f"{whole}2,liver\n")
    with pytest.raises(InputError, match=f"{path} is damaged .*{said}.*put a whole one in its pl"):
        read_table(path)
    if cut:
        assert len(read_table(path, torn=True)) == 1


def test_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "measures.csv")
    with pytest.raises(InputError, match="cannot be read: not a plain file"):
        read_table(tmp_path / "measures.csv")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "read-only"])
def test_a_table_that_is_not_the_runs_own_stays_as_it_is(kind, tmp_path, monkeypatch):
    path, other = tmp_path / "measures.csv", tmp_path / "other" / "mine.csv"
    other.parent.mkdir()
    if kind != "dangling":
        other.write_text("epoch,a\n0,1\n5,1")
    if kind in ("link", "dangling"):
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("epoch,a\n0,1\n5,1")
        monkeypatch.setattr(os, "access", lambda *_: False)  # nothing is read-only for root
    words = "may not be written by this user" if kind == "read-only" else "is no plain file"
    for change in (forget_rows, append_rows):
        given = ("epoch", 1) if change is forget_rows else ([{"epoch": 7, "a": 1}],)
        with pytest.raises(InputError, match=f"measures.csv {words}; .*name another folder"):
            change(path, *given)
    held = path if kind == "read-only" else other
    assert not held.exists() if kind == "dangling" else held.read_text() == "epoch,a\n0,1\n5,1"


def test_adding_to_a_table_does_not_copy_it(tmp_path):
    path = tmp_path / "measures.csv"
    save_table(path, ROWS)
    inode = path.stat().st_ino
    append_rows(path, ROWS)
    assert path.stat().st_ino == inode
    assert len(read_table(path)) == 4


def test_a_table_that_does_not_exist_is_empty(tmp_path):
    assert read_table(tmp_path / "none.csv") == []
    forget_rows(tmp_path / "none.csv", "epoch", since=0)
    assert not (tmp_path / "none.csv").exists()


NAMES = ["=1+1", "+1", "-liver", "@SUM(A1)", "\t=1", "'=1", "''=1", "'liver", "a,b\nc", "", "liver"]


def test_no_field_is_a_formula_and_every_text_comes_back(tmp_path):
    rows = [{"epoch": epoch, "organ": name} for epoch in range(2) for name in NAMES]
    save_table(tmp_path / "t.csv", rows[: len(NAMES)])
    append_rows(tmp_path / "t.csv", rows[len(NAMES) :])
    assert [row["organ"] for row in read_table(tmp_path / "t.csv")] == NAMES * 2
    forget_rows(tmp_path / "t.csv", "epoch", 1)  # reads all and writes what it keeps
    with (tmp_path / "t.csv").open(newline="") as file:
        shown = [row["organ"] for row in csv.DictReader(file)]
    assert not [text for text in shown if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [row["organ"] for row in read_table(tmp_path / "t.csv")] == NAMES


def test_numbers_stay_numbers(tmp_path):
    save_table(tmp_path / "t.csv", [{"a": -0.5, "b": "-0.5", "c": "1e3", "d": float("-inf")}])
    assert (tmp_path / "t.csv").read_text() == "a,b,c,d\n-0.5,-0.5,1e3,-inf\n"


def test_a_name_that_is_no_whole_text_can_be_written(tmp_path):
    save_table(tmp_path / "t.csv", [{"case": "img\udcff"}])
    assert (tmp_path / "t.csv").read_text() == "case\nimg\\udcff\n"


@pytest.mark.parametrize("content", [b"epoch,a\n0,\xff\xfe\x00\n", b"a,b\n1,2\n", b"epoch\nx\n"])
def test_a_table_that_is_damaged_is_one_line_before_any_of_it_is_lost(tmp_path, content):
    path = tmp_path / "measures.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"measures.csv is damaged \(.*\); put a whole one in its"):
        forget_rows(path, "epoch", since=1)
    assert path.read_bytes() == content
