"""A checkpoint that is not there is told of what was typed, and nothing else is."""

import pytest

from segtrace.cli.explain.missing import refuse_missing
from segtrace.errors import InputError


@pytest.mark.parametrize(
    "typed", ["checkpoint=none.ckpt", "checkpoint=[here.ckpt,none.ckpt]", "checkpoint='none*'"]
)
def test_a_file_that_is_not_there_is_refused(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.ckpt").touch()
    with pytest.raises(InputError, match=r"checkpoint=none.*: no such file"):
        refuse_missing([typed])


@pytest.mark.parametrize(
    "typed",
    [
        ["checkpoint=here.ckpt"],
        ["checkpoint=[]"],
        ["checkpoint=null"],
        ["checkpoint=3"],
        ["~checkpoint"],
        ["checkpoint=${oc.env:NOWHERE}/none.ckpt"],
        ["checkpoint=none.ckpt", "--help"],
        ["checkpoint=none.pth", "nnunet=folder"],
        ["net=module:build"],
    ],
)
def test_what_cannot_be_told_yet_is_left_for_later(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.ckpt").touch()
    refuse_missing(typed)
