"""The import graph against the table of the design, and what works with torch alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segtrace

SOURCE = Path(segtrace.__file__).parent

LEAVES = {
    f"segtrace.{name}"
    for name in (
        "activation",
        "axes",
        "dice",
        "errors",
        "html_table",
        "labelled",
        "memory",
        "names",
        "plain_files",
        "processes",
        "progress",
        "room",
    )
}
CORE = ("network", "attribution", "measures", "causal")
# package -> packages of ours that it may import besides itself: only what stands above it.
ALLOWED = {
    "network": (),
    "attribution": ("network",),
    "measures": ("network", "attribution"),
    "causal": ("network", "attribution", "measures"),
    "data": (),
    "models": (),
    "checkpoint": ("data", "models"),
    "evaluation": ("data",),
    "report": CORE,
    "tracking": (*CORE, "data", "report"),
    "explainers": (*CORE, "data", "report", "tracking"),
    "training": (*CORE, "data", "checkpoint", "report", "tracking"),
    "planted": (*CORE, "data", "checkpoint", "report", "tracking"),
    "studies": (
        *CORE,
        "data",
        "checkpoint",
        "evaluation",
        "report",
        "tracking",
        "explainers",
        "training",
    ),
    "integrations": (
        *CORE,
        "data",
        "models",
        "checkpoint",
        "report",
        "tracking",
        "training",
        "studies",
    ),
    "cli": (
        *CORE,
        "data",
        "checkpoint",
        "evaluation",
        "report",
        "tracking",
        "explainers",
        "training",
        "studies",
        "integrations",
    ),
}
TORCH_ALONE = {"torch", "segtrace", *sys.stdlib_module_names}


def inner_or_package(package, name):
    inner = SOURCE.parent.joinpath(*package.split("."), name)
    is_module = inner.is_dir() or inner.with_suffix(".py").exists()
    return f"{package}.{name}" if is_module else package


def imports(path):
    """(module, whether at the top of the file) for every import in a file."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            # `from package import module` means the module, where there is one.
            names = [inner_or_package(node.module, alias.name) for alias in node.names]
        else:
            continue
        yield from ((name, node in tree.body) for name in names)


def files(package):
    return sorted((SOURCE / package).rglob("*.py"))


def within(name, allowed):
    return any(name == home or name.startswith(home + ".") for home in allowed)


def test_every_package_is_in_the_table():
    packages = {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()}
    assert packages == set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_its_line_names(package):
    assert files(package)
    for path in files(package):
        for name, _ in imports(path):
            if within(name, {"segtrace"}) and name not in LEAVES:
                homes = {f"segtrace.{home}" for home in (package, *ALLOWED[package])}
                assert within(name, homes), f"{path.relative_to(SOURCE)}: {name}"


def test_the_table_goes_one_way():
    packages = list(ALLOWED)
    for package, above in ALLOWED.items():
        assert all(packages.index(other) < packages.index(package) for other in above), package


def test_attribution_needs_torch_and_takes_more_only_when_it_is_asked_for():
    leaves = [SOURCE / f"{leaf.split('.')[1]}.py" for leaf in sorted(LEAVES)]
    for path in [*files("network"), *files("attribution"), SOURCE / "__init__.py", *leaves]:
        for name, at_top in imports(path):
            if name.split(".")[0] in TORCH_ALONE:
                continue
            assert within(name, {"scipy", "xarray", "numpy"}), f"{path.name}: {name}"
            assert not at_top, f"{path.name} imports {name} at the top"


@pytest.mark.parametrize("package", CORE)
def test_named_axes_are_made_only_where_they_are_asked_for(package):
    for path in files(package):
        for name, at_top in imports(path):
            assert not (at_top and within(name, {"xarray", "pandas"})), f"{path.name}: {name}"


# Everything but the standard library and what `pip install torch` brings is made unimportable.
TORCH_BRINGS = """torch torchgen functorch sympy mpmath networkx jinja2 markupsafe filelock fsspec
    typing_extensions setuptools _distutils_hack pkg_resources triton"""
ALONE = f"""
import sys

class Blocked:
    allowed = {[*TORCH_BRINGS.split(), "segtrace"]!r}

    def find_spec(self, name, path=None, target=None):
        root = name.split(".")[0]
        if root not in self.allowed and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError("blocked: " + name, name=name)

sys.meta_path.insert(0, Blocked())
import torch
import segtrace

net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1))
from segtrace.attribution import targets
flow = segtrace.trace(
    net, {{"enc1": "1", "head": "2"}}, torch.rand(1, 1, 8, 8), targets.organ(1, "all")
)
assert flow.stages == ("enc1", "head")
pipeline = {{"FlowCallback", "explain", "explain_checkpoint", "explainers", "score_planted"}}
for name in set(segtrace.__all__) - pipeline:
    assert callable(getattr(segtrace, name))
assert "rise" in segtrace.explainers.__all__
for blocked in ("numpy", "scipy", "monai", "pytorch_lightning"):
    assert blocked not in sys.modules, blocked
print("traced")
"""


def test_tracing_works_where_only_torch_is_installed():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.stdout.strip() == "traced", done.stderr[-2000:]
