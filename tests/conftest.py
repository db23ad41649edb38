"""Data that tests of every part share."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from helpers.raw_layout import AFFINES, write_case
from helpers.scripts import SMALL_NET, Run, run_script, tiny_data
from segtrace import progress

TINY_SPLIT = {"train": ["0005", "0006"], "val": ["0027"], "test": ["0001"]}


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """What a test leaves in the environment, as a launcher of processes does, ends with it."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said once in a process is said in each test."""
    monkeypatch.setattr(progress, "_once", set())


@pytest.fixture(scope="session")
def ct_root() -> Path:
    """The two real scans, in both layouts (see docs/fresh_clone.md on where they come from)."""
    default = Path(__file__).parents[2] / "shared" / "ct"
    root = Path(os.environ.get("SEGTRACE_CT", default))
    if not (root / "RawData").is_dir():
        pytest.skip(f"no real CT at {root}; set SEGTRACE_CT to the folder that holds RawData/")
    return root


@pytest.fixture(scope="session")
def tiny_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases of 64x64x8 in the raw layout: six organs as boxes, three orientations.

    Organs by BTCV name: spleen, right_kidney, left_kidney, liver, stomach, aorta. The split
    that fits it is ``tiny_split``.
    """
    root = tmp_path_factory.mktemp("tiny") / "RawData" / "Training"
    for number, (case, axes) in enumerate(
        zip(["0001", "0005", "0006", "0027"], ["RAS", "LAS", "LPS", "LAS"], strict=True)
    ):
        image, label = _abdomen(np.random.default_rng(number))
        write_case(root, case, image, label, AFFINES[axes])
    return root


@pytest.fixture(scope="session")
def run(tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs on the tiny data set; the whole script, in a process of its own."""
    folder = tmp_path_factory.mktemp("run")
    ran = run_script(
        "train.py",
        *tiny_data(tiny_raw),
        *SMALL_NET,
        "trainer.max_epochs=2",
        "test=true",
        "hydra.run.dir=the_run",
        "data.cache_dir=cache",
        cwd=folder,
    )
    assert ran.code == 0, ran.err[-3000:]
    return Run(folder / "the_run", ran)


@pytest.fixture
def tiny_split() -> dict[str, list[str]]:
    """Two training cases, one each for validation and test."""
    return {part: list(cases) for part, cases in TINY_SPLIT.items()}


def _abdomen(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(image HU, label) with axes to the patient's left, posterior, superior."""
    x, y, _ = np.meshgrid(np.arange(64), np.arange(64), np.arange(8), indexing="ij")
    body = (x - 32) ** 2 / 28**2 + (y - 32) ** 2 / 20**2 < 1
    image = np.where(body, 20.0, -1000.0)
    label = np.zeros(body.shape)
    dx, dy = random.integers(-2, 3, 2)
    for number, hu, (x0, x1), (y0, y1), (z0, z1) in [
        (6, 110, (8, 26), (18, 34), (3, 8)),  # liver: the patient's right
        (1, 120, (48, 58), (26, 38), (4, 8)),  # spleen
        (7, 40, (36, 48), (18, 28), (4, 7)),  # stomach
        (2, 150, (16, 24), (36, 44), (1, 5)),  # right kidney
        (3, 150, (42, 50), (36, 44), (2, 6)),  # left kidney
        (8, 160, (32, 36), (34, 38), (0, 8)),  # aorta
    ]:
        box = np.s_[x0 + dx : x1 + dx, y0 + dy : y1 + dy, z0:z1]
        image[box], label[box] = hu, number
    image += random.normal(0, 10, image.shape)
    return image, label
