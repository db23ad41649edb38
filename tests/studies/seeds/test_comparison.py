"""Runs that differ in their seed: one sweep, then one command."""

import math

import numpy as np
import pytest
import torch
import yaml

from helpers.scripts import SMALL_NET, run_script, tiny_data
from segtrace import InputError
from segtrace.names import file_name
from segtrace.report.figures.seeds import band_figure
from segtrace.report.page.page import Page
from segtrace.report.tables import append_rows, read_table, save_table
from segtrace.studies.seeds import comparison as seeds
from segtrace.studies.seeds.comparison import Comparison
from segtrace.studies.seeds.runs import folders_of, read_run


def write_run(folder, seed, gains, *, emerged=2, epochs=(0, 1, 2), stage="dec1", organ="liver"):
    """The tables of a run with one rule, organ and stage."""
    (folder / "flow").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": seed}))
    place = {"rule": "grad_pam", "organ": organ, "stage": stage}
    for epoch, gain in zip(epochs, gains, strict=True):
        numbers = {"gain": gain, "kappa": 0.5, "magnitude": -1.0, "mass": 0.2}
        append_rows(folder / "flow" / "timeline.csv", [{"epoch": epoch, **place, **numbers}])
        row = {"epoch": epoch, "rule": "grad_pam", "organ": organ, "dice": epoch / 4}
        append_rows(folder / "flow" / "depth.csv", [row])
    answer = {"answer": "emerged" if emerged else "none", "epoch": emerged, "dice_epoch": None,
              "head_epoch": None}  # fmt: skip
    save_table(folder / "flow" / "emergence.csv", [place | answer])
    return folder


def test_mean_and_range_over_three_seeds(tmp_path):
    gains = [(0.0, 0.2, 0.5), (0.1, 0.3, math.nan), (0.2, 0.7, 0.9)]
    folders = [write_run(tmp_path / str(i), i, g, emerged=(2, 1, None)[i])
               for i, g in enumerate(gains)]  # fmt: skip
    Comparison([read_run(folder) for folder in folders]).write(tmp_path / "out")
    rows = [row for row in read_table(tmp_path / "out" / "seeds.csv") if row["measure"] == "gain"]
    found = [[float(row[key]) for key in ("mean", "low", "high")] for row in rows]
    expected = [[0.1, 0, 0.2], [0.4, 0.2, 0.7], [0.7, 0.5, 0.9]]
    np.testing.assert_allclose(found, expected)
    assert {row["runs"] for row in rows} == {"3 runs"}
    (emergence,) = read_table(tmp_path / "out" / "seeds_emergence.csv")
    assert emergence["emergence"] == "epoch 1 to 2 in 2 of 3 runs"
    assert (tmp_path / "out" / "figures" / "gain_grad_pam_liver.pdf").is_file()
    assert (tmp_path / "out" / "figures" / "dice.png").is_file()
    assert "3 runs, seeds 0, 1, 2" in (tmp_path / "out" / "figures" / "caption.txt").read_text()


def test_what_runs_have_in_common_is_claimed_of_five_and_said_of_one(tmp_path, capsys):
    rising = [(0.0, 0.4 + i / 100, 0.5, 0.5) for i in range(5)]
    folders = [write_run(tmp_path / str(i), i, g, epochs=(0, 1, 2, 3), stage="dec1")
               for i, g in enumerate(rising)]  # fmt: skip
    for folder in folders:  # the last stage says nothing of its own
        for name in ("timeline", "emergence"):
            path = folder / "flow" / f"{name}.csv"
            header, *lines = path.read_text().splitlines()
            both = [x for line in lines for x in (line, line.replace("dec1", "dec2"))]
            path.write_text("\n".join([header, *both, ""]))
        table = folder / "flow" / "depth.csv"
        table.write_text(table.read_text().replace("0.75", "0.9"))
    found = Comparison([read_run(folder) for folder in folders])
    found.write(tmp_path / "out")
    told = capsys.readouterr().out
    assert "Liver, Grad-PAM: over 5 runs begins to localise at dec1 (epoch 2 in 5 of 5" in told
    assert (
        "Claims here passed: above what it is held against in 95 % of sign flips over runs" in told
    )
    first, last = read_table(tmp_path / "out" / "seeds_emergence.csv")
    assert (first["passed"], last["passed"]) == ("True", "False")
    assert float(first["rise"]) == 0.5
    page = Page()
    found.show(page)
    assert page.sections[0].sentences[1] in told
    Comparison([read_run(folders[0])]).write(tmp_path / "one")
    assert "seen in one run, no claim: dec1: epoch 2 (one run)" in capsys.readouterr().out


def test_what_the_slices_are_not_stands_in_figure_and_caption(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    (folder / "checkpoints").mkdir()
    probes = {"phantom": True, "split": "train"}
    torch.save({"segtrace": {"probes": probes}}, folder / "checkpoints" / "epoch_000.ckpt")
    drawn = []
    monkeypatch.setattr(
        seeds, "band_figure", lambda *a, **k: drawn.append(k) or band_figure(*a, **k)
    )
    Comparison([read_run(folder)]).write(tmp_path / "out")
    assert {k["mark"] for k in drawn} == {
        "phantom (generated image)  ·  slices from the training split"
    }
    caption = (tmp_path / "out" / "figures" / "caption.txt").read_text()
    assert "Phantom (generated image). Slices from the training split. Research use" in caption


def test_one_run_is_called_one_run(tmp_path):
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    Comparison([read_run(folder)]).write(tmp_path / "out")
    rows = read_table(tmp_path / "out" / "seeds.csv")
    assert {row["runs"] for row in rows} == {"one run"}
    assert "one run, seeds 4" in (tmp_path / "out" / "figures" / "caption.txt").read_text()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1, "epochs": (0, 1, 3)}, r"at epochs \[0, 1, 2\], .* at \[0, 1, 3\]"),
        ({"seed": 1, "stage": "dec2"}, "different rules, organs or stages"),
        ({"seed": 0}, "seed 0 twice; runs of one seed are one run"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, other, message):
    one = write_run(tmp_path / "a", 0, (0.0, 0.2, 0.5))
    two = write_run(tmp_path / "b", gains=(0.0, 0.2, 0.5), **other)
    with pytest.raises(InputError, match=message):
        Comparison([read_run(one), read_run(two)]).write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pattern_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match=r"runs=.*nothing\*: no folder there holds flow/timeline"):
        folders_of(f"{tmp_path}/nothing*")


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    one = write_run(tmp_path / "a", 0, (0.0, 0.2, 0.5))
    assert folders_of([str(one), f"{tmp_path}/*"]) == [one]
    with pytest.raises(InputError, match=f"runs names {one} twice; name each run once"):
        folders_of([str(one), str(one)])


def spoilt(folder, name, change):
    path = folder / name
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))


BROKEN = {
    "missing": (None, "depth.csv is missing", "flow/depth.csv"),
    "empty": (lambda _: b"", "timeline.csv is empty", "flow/timeline.csv"),
    "a header alone": (
        lambda old: old.splitlines()[0] + b"\n",
        "timeline.csv does not hold every stage, rule and organ once an epoch",
        "flow/timeline.csv",
    ),
    "cut within a line": (
        lambda old: old[: old.rindex(b",0.5")],
        "timeline.csv was cut short",
        "flow/timeline.csv",
    ),
    "cut within a number": (lambda old: old[:-2], "was cut short", "flow/depth.csv"),
    "a line without its end": (
        lambda old: old + b"3,grad_pam\n",
        "timeline.csv, line 5 has 2 values for",
        "flow/timeline.csv",
    ),
    "cut within the header": (
        lambda old: old[:9],
        "timeline.csv was cut short",
        "flow/timeline.csv",
    ),
    "an epoch without a place": (
        lambda old: old + old.splitlines()[3].replace(b"dec1", b"dec2") + b"\n",
        "does not hold every stage, rule and organ once",
        "flow/timeline.csv",
    ),
    "an epoch twice": (
        lambda old: old + old.splitlines()[3] + b"\n",
        "does not hold every stage, rule and organ once",
        "flow/timeline.csv",
    ),
    "a table of something else": (
        lambda _: b"name,age\nme,3\n",
        "no column 'rule', so it is no table of train.py",
        "flow/timeline.csv",
    ),
    "a picture": (lambda _: b"\x89PNG\r\n\xff\x00\xfe", "is no table", "flow/timeline.csv"),
    "zeros": (lambda _: b"\x00" * 99, "timeline.csv", "flow/timeline.csv"),
    "words for a number": (
        lambda old: old.replace(b",0.5,", b",half,", 1),
        "line 2: 'half' cannot stand in column 'kappa'",
        "flow/timeline.csv",
    ),
    "half an epoch": (
        lambda old: old.replace(b"2,grad_pam", b"1.5,grad_pam"),
        "'1.5' cannot stand in column 'epoch'",
        "flow/depth.csv",
    ),
    "no dice of an epoch": (
        lambda old: old[: old.rindex(b"2,grad_pam")],
        "depth.csv has no Dice of liver at epoch 2",
        "flow/depth.csv",
    ),
    "another answer": (
        lambda old: old.replace(b"emerged", b"perhaps"),
        "'perhaps' cannot stand in column 'answer'",
        "flow/emergence.csv",
    ),
    "no seed": (lambda _: b"sed: 3", "config.yaml: seed is None", "config.yaml"),
    "a seed in words": (lambda _: b"seed: three", "config.yaml: seed is 'three'", "config.yaml"),
    "a list": (lambda _: b"- seed", "config.yaml holds a list", "config.yaml"),
    "no yaml": (lambda _: b"seed: [", "config.yaml: not readable as YAML", "config.yaml"),
    "no text": (lambda _: b"\xff\xfe\x00", "config.yaml: not readable as YAML", "config.yaml"),
    "no configuration": (None, "config.yaml: No such file", "config.yaml"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_a_run_is_named_in_one_line(name, tmp_path):
    change, message, file = BROKEN[name]
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    read_run(folder)
    spoilt(folder, file, change)
    with pytest.raises(InputError) as caught:
        read_run(folder)
    assert message in str(caught.value)
    assert str(folder / file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("name another run, or train this one again")


def test_a_folder_in_the_place_of_a_table_is_named(tmp_path):
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    (folder / "flow" / "depth.csv").unlink()
    (folder / "flow" / "depth.csv").mkdir()
    with pytest.raises(InputError, match=r"depth.csv cannot be read: Is a directory"):
        read_run(folder)


def test_a_run_that_did_not_end_has_no_emergences(tmp_path):
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    for text in (None, "\n"):
        (folder / "flow" / "emergence.csv").unlink()
        if text:
            (folder / "flow" / "emergence.csv").write_text(text)
        assert read_run(folder).emergences == {}
        (folder / "flow" / "emergence.csv").touch()


def test_runs_with_other_organs_in_their_dice_are_refused(tmp_path):
    one, two = (write_run(tmp_path / str(i), i, (0.0, 0.2, 0.5)) for i in (0, 1))
    spoilt(two, "flow/depth.csv", lambda old: old.replace(b"liver", b"aorta"))
    with pytest.raises(InputError, match="have different rules, organs or stages"):
        Comparison([read_run(one), read_run(two)]).write(tmp_path / "out")


@pytest.mark.long
def test_a_sweep_over_seeds_and_the_command_that_compares_it(tiny_raw, tmp_path):
    swept = run_script(
        "train.py",
        "-m",
        "seed=1,2",
        *tiny_data(tiny_raw),
        *SMALL_NET,
        "data.steps_per_epoch=1",
        "trainer.max_epochs=1",
        "explain.rules=[seg_grad_cam]",
        "explain.stages=[enc1,dec4]",
        "explain.organs=[liver]",
        "hydra.sweep.dir=sweep",
        "data.cache_dir=cache",
        cwd=tmp_path,
    )
    assert swept.code == 0, swept.err[-3000:]
    ran = run_script("explain.py", "runs='sweep/*'", "hydra.run.dir=out", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    assert "2 runs" in ran.out
    rows = read_table(tmp_path / "out" / "seeds.csv")
    assert {row["runs"] for row in rows} == {"2 runs"}
    assert "Phantom" not in (tmp_path / "out" / "figures" / "caption.txt").read_text()
    gains = [row for row in rows if row["measure"] == "gain"]
    assert {row["stage"] for row in gains} == {"enc1", "dec4"}
    assert any(row["low"] != row["high"] for row in rows)
    assert "Runs that differ in their seed" in (tmp_path / "out" / "index.html").read_text()


def test_names_in_the_tables_of_a_run_stay_inside_the_folder(tmp_path):
    folder = write_run(tmp_path / "runs" / "a", 4, (0.0, 0.2, 0.5), organ="../../x")
    Comparison([read_run(folder)]).write(tmp_path / "deep" / "out")
    figures = {path.name for path in (tmp_path / "deep" / "out" / "figures").iterdir()}
    assert f"gain_grad_pam_{file_name('../../x')}.png" in figures
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"out"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: !!python/object/apply:os.mkdir [run_it]", "not readable as YAML"),
        ("seed: ${oc.env:HOME}", r"seed is '\$\{oc.env:HOME\}'"),
        ("seed: true", "seed is True"),
        ("lr: 1", "seed is None"),
        ("- 1", "holds a list"),
    ],
)
def test_the_configuration_of_a_run_is_read_as_values(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    folder = write_run(tmp_path / "a", 4, (0.0, 0.2, 0.5))
    (folder / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run_it").exists()
