"""What README.md and docs/ say to type is there: commands, options, files, names, links."""

import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

import segtrace
from segtrace.attribution.flow import Status
from segtrace.cli import entry
from segtrace.cli.command_line import readable
from segtrace.cli.explain.explain_config import _check as check_explain
from segtrace.cli.explain.shorthand import ALIASES, SHORT, written_out
from segtrace.cli.schema import check, plainly
from segtrace.cli.train.train_config import KEYS
from segtrace.errors import InputError
from segtrace.tracking import writer

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
COMMAND = re.compile(r"(?:^|\s)(?:python )?(train|explain)\.py((?: (?![\|;#&]).*)?)", re.DOTALL)
FILE = re.compile(r"(?:^|\s)((?:docs|tests|src|conf)/[\w./-]+)")
PLACES = ("callbacks.flow.folder=x", "callbacks.checkpoints.folder=x")
"""What a run's own folder fills in."""


def code(text):
    """What stands in a block or between backticks, lines of one command put together."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    bare = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
    yield from (one.replace("\n", " ") for one in re.findall(r"`([^`]+)`", bare))


def commands():
    """(page, script, what follows), each once."""
    found = {}
    for page, text in TEXT.items():
        for line in code(text):
            for script, typed in COMMAND.findall(line.partition("  #")[0]):
                found.setdefault((script, typed.split(";")[0].strip()), page)
    found = {key: page for key, page in found.items() if "=" in key[1] and "->" not in key[1]}
    return [(page, script, typed) for (script, typed), page in found.items()]


def as_typed(typed):
    """The arguments; an ellipsis alone is left out, within a value it is some text."""
    typed = typed.replace("$seed", "1")
    arguments = [one for one in shlex.split(typed) if one != "…"]
    return [one.replace("…", "x") for one in arguments if not re.fullmatch(r"(data|study)=…", one)]


@cache
def groups(name):
    return entry._groups(), (*entry._keys(name), *(SHORT if name == "explain" else ()))


@pytest.fixture(scope="module")
def composing():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


@pytest.mark.parametrize(
    ("page", "script", "typed"),
    [pytest.param(*one, id=f"{one[0]}: {one[2]}") for one in commands()],
)
def test_a_command_is_read_and_its_options_exist(page, script, typed, composing):
    arguments = as_typed(typed)
    read = readable(arguments, *groups(script), lambda: entry._deeper(script))
    if any(one.startswith("resume=") for one in arguments):
        return  # the run's own configuration is read
    if script == "explain":
        read = readable(written_out(arguments), *groups(script))
    given = [re.sub(r"^([^=]*seed)=.*", r"\1=1", one) for one in read if not one.startswith("-")]
    hydras = ("hydra", "+hydra", "++hydra")
    own = [one for one in given if not one.startswith(hydras)]
    loggers = [one.partition("=")[2] for one in own if one.startswith("logger=")] or ["tensorboard"]
    places = [*PLACES, *(f"logger.{name}.save_dir=x" for name in loggers)]
    places = places if script == "train" else []
    config = plainly(compose(script, [*places, *own]))
    if script == "train":
        check(config, KEYS)
    else:
        check_explain(config, [one.partition("=")[0].lstrip("+~") for one in given])


def lines_of_data():
    """The options that docs/data.md says to type behind ``python train.py``, each line once."""
    lines = {line for line in code(TEXT["data.md"]) if re.match(r"(… )?'?data(\.\w+)?=", line)}
    return sorted(line.removeprefix("… ") for line in lines)


@pytest.mark.parametrize("line", lines_of_data())
def test_a_line_for_data_is_taken_by_a_kind_of_data(line, composing):
    typed, refused = as_typed(line), []
    kinds = ["synapse", "synapse_transunet", "nifti", "phantom"]
    for kind in [None] if any(one.startswith("data=") for one in typed) else kinds:
        root = [] if line == "data=planted" else ["data.root=x"]
        named = [*PLACES, "logger.tensorboard.save_dir=x", *root, *typed]
        named = named if kind is None else [f"data={kind}", *named]
        try:
            read = readable(named, *groups("train"), lambda: entry._deeper("train"))
            check(plainly(compose("train", read)), KEYS)
        except (InputError, HydraException) as error:
            refused.append(str(error))
        else:
            return
    pytest.fail("; ".join(refused))


def test_every_name_out_of_a_group_is_a_file_of_conf():
    """``study=ablation``, ``'explainer=[rise,misure]'``, ``model=unet``, wherever named."""
    there = {folder.name: {path.stem for path in folder.glob("*.yaml")}
             for folder in (ROOT / "conf").iterdir() if folder.is_dir()}  # fmt: skip
    choice = re.compile(rf"(?:^|[\s'])({'|'.join(there)})=\[?([a-z][\w,]*)")
    named = [
        (page, group, name)
        for page, text in TEXT.items()
        for line in code(text)
        for group, names in choice.findall(line)
        for name in names.split(",")
    ]
    assert len(named) > 60
    assert not [one for one in named if one[2] not in there[one[1]]]


def test_every_study_and_explainer_is_told_of():
    """In the tables of docs/systems.md, or by the line that asks for it."""
    rows = set(re.findall(r"^\| `(\w+)`", TEXT["systems.md"], re.MULTILINE))
    explainers, studies = (
        {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        for group in ("explainer", "study")
    )
    assert explainers <= rows <= explainers | studies
    short = {"evaluate": "evaluate=true", "seeds": "runs=", "volumes": "volume=true"}
    others = studies - rows - {"slices", *ALIASES}  # what is run where none is named; other names
    pages = "".join(TEXT.values())
    assert not [one for one in others if short.get(one, f"study={one}") not in pages]


def options():
    """(page, option) of every option with a dot that a page names without a command."""
    for page, text in TEXT.items():
        for line in code(text):
            for option in re.findall(r"(?:^|[\s'])([a-z_]+(?:\.[a-z_0-9]+)+)=", line):
                yield page, option


def test_every_option_that_is_named_is_one():
    known = {*entry._deeper("train"), *entry._deeper("explain")}
    places = {one.rpartition(".")[0] for one in known}
    roots = {one.split(".")[0] for one in known} | {"callbacks", "explainers", "study", "hydra"}
    named = set(options())
    assert len(named) > 60
    for page, option in named:
        if option in known or option.startswith(("model.net.", "hydra.", "my_")):
            continue
        # of a constructor that the YAML does not list: its place at least is there
        place, _, own = option.rpartition(".")
        assert place in places | roots, f"{page}: {option}"
        assert re.search(rf"\b{own}\b", sources()), f"{page}: {option}"


@cache
def sources():
    return "\n".join(path.read_text() for path in Path(segtrace.__file__).parent.rglob("*.py"))


def test_every_target_of_make_is_there():
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(page, target) for page, text in TEXT.items() for line in code(text)
             for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line)}  # fmt: skip
    assert len(named) > 5
    assert {target for _, target in named} <= there


def test_every_file_that_is_named_is_there():
    named = {(page, one) for page, text in TEXT.items() for line in code(text)
             for one in FILE.findall(line)}  # fmt: skip
    assert len(named) > 8
    assert not [(page, one) for page, one in named if not (ROOT / one).exists()]


def test_every_link_leads_somewhere():
    for page in PAGES:
        for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if address.startswith("https://"):
                continue
            path, _, anchor = address.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {address}"
            if anchor:
                headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings]
                assert anchor in slugs, f"{page.name}: {address}"


def test_every_name_in_python_is_public():
    named = {(page, one) for page, text in TEXT.items() for line in code(text)
             for one in re.findall(r"\bsegtrace\.([a-zA-Z_]+)\(", line)}  # fmt: skip
    assert len(named) > 8
    assert {one for _, one in named} <= set(segtrace.__all__)


def test_every_page_and_picture_is_shown():
    site = (ROOT / "mkdocs.yml").read_text()
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    assert pages == set(re.findall(r"[\w/]+\.(?:md|ipynb)", site))
    shown = set(re.findall(r"pictures/([\w.]+)", "".join(TEXT.values())))
    assert shown == {path.name for path in (ROOT / "docs" / "pictures").iterdir()}


def test_a_list_has_an_empty_line_before_it():
    """Where a site would make one paragraph of it, and GitHub a list."""
    for page, text in TEXT.items():
        bare = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
        before = re.findall(r"^(?![*| >-]|\d\.|\s)(.+)\n[*-] ", bare, re.MULTILINE)
        assert not before, f"{page}: {before}"


def test_every_file_of_a_run_is_told_of():
    written = {*writer.TABLES, *writer.PICTURES, writer.ENDS}
    assert not [name for name in written if f"/{name}" not in TEXT["what_you_see.md"]]


def test_every_status_is_explained():
    rows = re.findall(r"^\| `(\w+)` \|", TEXT["trust.md"], re.MULTILINE)
    assert rows == [status.label for status in Status]


def test_the_version_is_one():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == segtrace.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == segtrace.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == segtrace.__version__
