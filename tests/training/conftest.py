"""One small training run, made once by the script itself, that many tests look at."""

from pathlib import Path

import pytest

from scripts import SMALL_NET, Run, run_script, tiny_data


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
