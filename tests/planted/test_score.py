import pytest

from helpers.planted_reader import STAGES, Reader, save_reader
from segtrace.measures.over_cases import COVERAGE
from segtrace.planted.benchmark import score_planted


@pytest.fixture
def reader(tmp_path):
    return save_reader(tmp_path / "epoch_001.ckpt", "far")


def test_the_table_can_be_read_and_written(reader):
    score = score_planted("seg_grad_cam", reader, net=Reader)
    lines = str(score).splitlines()
    assert lines[0].startswith("seg_grad_cam on planted evidence, task far, seed 0, epoch 1: Dice")
    assert [line.split()[0] for line in lines[2:5]] == list(STAGES)
    assert "95 % t interval" in lines[1]
    marks = score.stages[0]
    assert f"{marks.gain_interval[0]:.2f} to {marks.gain_interval[1]:.2f}" in lines[2]
    assert lines[2].split()[-3:] == ["32", "4", "refused"]
    assert "the same in all 4 cases" in lines[3]
    assert lines[5] == COVERAGE
    rows = score.rows()
    assert [row["stage"] for row in rows] == list(STAGES)
    assert {"rule", "task", "verdict", "held", "gain_interval_low"} <= set(rows[0])
    assert not any(isinstance(value, tuple) for value in rows[0].values())
