"""What is not there is told of what was typed, and nothing else is."""

import inspect

import pytest
import yaml
from hydra.utils import get_object

from segtrace.cli.configuration import CONF
from segtrace.cli.explain import missing
from segtrace.cli.explain.missing import refuse_missing
from segtrace.cli.explain.shorthand import ALIASES
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


@pytest.mark.parametrize(
    "path", sorted((CONF / "study").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_file_of_a_study_holds_all_of_its_options(path):
    held = yaml.safe_load(path.read_text(encoding="utf-8"))
    node = held.get("study", held)
    if "_target_" not in node:  # another name of one
        assert held == {"defaults": [ALIASES[path.stem]]}
        return
    taken = {*inspect.signature(get_object(node["_target_"])).parameters}
    assert {*node} - {"_target_"} == taken


@pytest.mark.parametrize(
    ("typed", "allowed"),
    [
        (["study.foo=1"], "study.failures, study.shared_scale"),
        (["study=cut", "+study.foo=1"], "study.cut"),
        (["study=paper_figure", "study.foo.bar=1"], "study.failures"),
    ],
)
def test_an_option_that_the_study_lacks_is_refused(typed, allowed):
    with pytest.raises(InputError, match=r"no option 'study\.foo'; allowed are ") as error:
        refuse_missing(typed)
    assert allowed in str(error.value)


@pytest.mark.parametrize(
    "typed",
    [
        ["study=cut", "study.cut=zero"],
        ["study._target_=own.Study", "study.foo=1"],
        ["study=own", "study.foo=1"],
        ["study=null", "study.foo=1"],
        ["~study.foo"],
        ["study.foo=1", "-m"],
        ["study.foo=1", "hydra.searchpath=[/own]"],
    ],
)
def test_options_that_a_study_has_or_may_have_are_left(typed):
    refuse_missing(typed)


def test_without_anything_to_explain_it_says_what_to_say(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="say what to explain: checkpoint=…"):
        refuse_missing([])
    options = {"checkpoint": "own.ckpt", "defaults": [{"study": "slices"}]}
    (tmp_path / "explain.yaml").write_text(yaml.safe_dump(options))
    monkeypatch.setattr(missing, "CONF", tmp_path)
    refuse_missing([])
