"""Short options of explain.py: each is a study and its option, and two studies are not one."""

from pathlib import Path

import pytest

from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.cli.explain.shorthand import written_out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["checkpoint=a.ckpt"], ["checkpoint=a.ckpt"]),
        (["cut=zero"], ["study=ablation", "study.cut=zero"]),
        (["cut=null"], ["study.cut=null"]),
        (["study=cut", "cut=zero"], ["study=cut", "study.cut=zero"]),
        (["study=paper_figure", "cut=zero"], ["study=paper_figure", "study.cut=zero"]),
        (["-m", "cut=zero,resample"], ["-m", "study=ablation", "study.cut=zero,resample"]),
        (["volume=true", "image=a"], ["study=volumes", "image=a"]),
        (["volume=true", "cases=[a,1]"], ["study=volumes", "study.cases=[a,1]"]),
        (["volume=false"], []),
        (["runs='m/*'"], ["study=seeds", "study.runs='m/*'"]),
        (["failures=false", "shared_scale=true"], ["study.failures=false",
                                                   "study.shared_scale=true"]),
        (["verdict=true"], ["study=faithfulness"]),
        (["verdict=true", "probes.n=2"], ["study=faithfulness", "probes.n=2"]),
        (["study=verdict", "verdict=true"], ["study=verdict"]),
        (["cut =zero", "--help", "~cut", "{"], ["cut =zero", "--help", "~cut", "{"]),
    ],
)  # fmt: skip
def test_a_short_option_is_written_out(typed, meant):
    assert written_out(typed) == meant


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["verdict=true", "cut=zero"], "verdict and cut do not go together: maps are judged"),
        (["study=verdict", "cut=zero"], "study=faithfulness and cut do not go together"),
        (["runs=r", "verdict=true"], "runs and verdict do not go together: runs are compared"),
        (["volume=true", "cut=zero"], "volume and cut do not go together: all slices"),
        (["volume=true", "study=paper_figure"], "volume and study=paper_figure do not go"),
        (["volume=1"], "volume=1; give true or false"),
        (["verdict=[]"], "give true or false"),
    ],
)
def test_two_studies_at_once_are_refused(typed, message):
    with pytest.raises(InputError, match=message):
        written_out(typed)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("study.n=3", "no option 'study.n'; allowed are study.failures"),
        ("runs=2024", "study.runs=2024: .*; as text: 'study.runs=\"2024\"'"),
        ("failures=maybe", "study.failures='maybe': "),
        ("cut=one", "no cut 'one'; allowed are channel_mean"),
        ("study._target_=segtrace.nothing.Here", "study: cannot import 'segtrace.nothing.Here'"),
    ],
)
def test_the_constructor_of_the_study_is_its_schema(typed, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("never_read.ckpt").touch()
    ran = answer_of("explain.py", "checkpoint=never_read.ckpt", typed)
    assert ran.code == 1
    (line,) = ran.err.strip().splitlines()
    with pytest.raises(InputError, match=message):
        raise InputError(line)
