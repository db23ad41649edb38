"""What a run left behind that was broken off, whenever that was."""

from pathlib import Path

import pytest
import torch

from segtrace import InputError
from segtrace.training.broken_off import begin_anew, left_in, read_left, remove_drafts


def full(path: Path, epoch: int) -> Path:
    """What Lightning keeps of a training, as far as it is looked at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    loop = {"epoch_loop.state_dict": {"_batches_that_stepped": 10 * epoch}}
    saved = {
        "segtrace": {"epoch": epoch},
        "state_dict": {"net.weight": torch.zeros(2, 3)},
        "optimizer_states": [],
        "loops": {"fit_loop": loop},
        "callbacks": {"Continuity": {"steps": 40}},
    }
    torch.save(saved, path)
    return path


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_the_last_full_checkpoint_is_what_a_run_goes_on_from(tmp_path):
    full(tmp_path / "previous.ckpt", 2)
    left = left_in(tmp_path) if full(tmp_path / "last.ckpt", 3) else None
    assert (left.path, left.epoch, left.batches) == (tmp_path / "last.ckpt", 3, 30)
    assert left.shapes == {"net.weight": (2, 3)}
    assert left.identity == {"steps": 40}
    assert left_in(tmp_path, tmp_path) == left_in(tmp_path, tmp_path / "last.ckpt") == left


def test_the_one_before_takes_the_place_of_a_damaged_or_missing_one_with_a_word(tmp_path, capsys):
    full(tmp_path / "previous.ckpt", 2)
    assert left_in(tmp_path).epoch == 2
    assert f"last.ckpt is not there. Going on from {tmp_path}" in capsys.readouterr().out
    damage(full(tmp_path / "last.ckpt", 3))
    assert left_in(tmp_path, tmp_path / "last.ckpt").epoch == 2
    said = capsys.readouterr().out
    assert "last.ckpt" in said
    assert "previous.ckpt, the one before it" in said


def test_where_both_are_damaged_nothing_begins_anew(tmp_path):
    for name in ("last.ckpt", "previous.ckpt"):
        damage(full(tmp_path / name, 3))
    with pytest.raises(InputError, match=r"last.ckpt .*; .*previous.ckpt .*; begin") as e:
        left_in(tmp_path)
    assert "\n" not in str(e.value)


def test_a_checkpoint_that_is_named_is_the_one_that_is_taken(tmp_path):
    full(tmp_path / "last.ckpt", 3)
    older = full(tmp_path / "previous.ckpt", 2)
    assert left_in(tmp_path, older).epoch == 2
    torch.save({"segtrace": {"epoch": 1}, "state_dict": {}}, tmp_path / "epoch_001.ckpt")
    for path in (tmp_path / "epoch_001.ckpt", full(tmp_path / "other.ckpt", 4)):
        if path.name == "other.ckpt":
            assert read_left(path).epoch == 4
            continue
        with pytest.raises(InputError, match=r"epoch_001.ckpt holds no state of a training"):
            left_in(tmp_path, path)


def test_a_run_without_a_full_checkpoint_has_nothing_to_go_on_from(tmp_path):
    (tmp_path / "epoch_000.ckpt").write_bytes(b"")
    assert left_in(tmp_path) is None
    assert left_in(tmp_path / "none", tmp_path / "none" / "last.ckpt") is None


def begun(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


FIRST = (
    "config.yaml", "notes.txt", ".lock",
    "checkpoints/epoch_000.ckpt", "checkpoints/epoch_001.ckpt", "tensorboard/events.out.1",
    "flow/measures.csv", "flow/epoch_001/seg_grad_cam/liver.png", "flow/timeline/gain/a.png",
)  # fmt: skip


def test_a_run_of_less_than_an_epoch_begins_anew_in_its_folder(tmp_path, capsys):
    folder = begun(tmp_path, *FIRST)
    begin_anew(folder, folder / "flow")
    assert f"{folder} was broken off before its first full checkpoint" in capsys.readouterr().out
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {"config.yaml", "notes.txt", ".lock"}


def test_its_maps_are_taken_away_in_the_runs_folder_alone(tmp_path):
    folder = begun(tmp_path / "run", "maps/measures.csv")
    elsewhere = begun(tmp_path / "elsewhere", "measures.csv")
    begin_anew(folder, elsewhere)
    assert (elsewhere / "measures.csv").is_file()
    begin_anew(folder, folder / "maps")
    assert list((folder / "maps").iterdir()) == []


@pytest.mark.parametrize("name", ["dice.csv", "checkpoints/epoch_002.ckpt", "flow/epoch_010/a.png"])
def test_what_got_further_is_never_taken_away(tmp_path, name):
    folder = begun(tmp_path, *FIRST, name)
    with pytest.raises(InputError, match=r"holds results .* and no full checkpoint"):
        begin_anew(folder, folder / "flow")
    assert (folder / name).is_file()
    assert (folder / "checkpoints/epoch_000.ckpt").is_file()


def test_drafts_of_a_killed_process_go_and_nothing_else(tmp_path):
    names = ("flow/.measures.csv.77.part", "checkpoints/.last.ckpt.partial", ".config.yaml.1.part")
    folder = begun(tmp_path, *names, *FIRST, "flow/a.part")
    remove_drafts(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {*FIRST, "flow/a.part"}
