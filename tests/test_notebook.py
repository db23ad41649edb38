"""docs/first_steps.ipynb runs as it stands, its sentences hold, what is stored of it is small."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import segtrace

PATH = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"
LARGEST = 400_000
"""Bytes of the file with its outputs."""


def outputs(notebook):
    return [one for cell in notebook.cells for one in cell.get("outputs", ())]


def column(text, row, k=0):
    """The k-th number behind a name in a printed table."""
    line = next(line for line in text.splitlines() if line.split()[:1] == [row])
    return float(line.split()[1 + k])


def test_what_is_stored_is_small_and_of_no_machine():
    text = PATH.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    kinds = {kind for one in outputs(notebook) for kind in one.get("data", ())}
    assert {"text/html", "image/png"} <= kinds
    assert not [one for one in outputs(notebook) if one.output_type == "error"]
    assert len(text) < LARGEST
    assert "<script" not in text
    assert "site-packages" not in text


@pytest.mark.long
def test_it_runs_and_its_sentences_hold(tmp_path, monkeypatch):
    source = Path(segtrace.__file__).parents[1]
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    )
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [one.data["text/plain"] for one in outputs(notebook) if "data" in one]
    gains = next(text for text in shown if "untrained" in text)
    for stage in ("dec4", "head"):
        assert min(column(gains, stage, 0), column(gains, stage, 1)) > 0.9
    for stage in ("enc5", "dec1", "dec2"):
        assert column(gains, stage, 0) > column(gains, stage, 1) + 0.2
    lost = shown[-1]
    ups, skips = ([column(lost, f"{way}_{i}") for i in range(1, 5)] for way in ("up", "skip"))
    assert min(ups) > 0.5
    assert max(skips[:3]) < skips[3] < min(ups)
