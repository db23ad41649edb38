"""What is answered before torch and Lightning are there."""

import subprocess
import sys

import pytest

from helpers.scripts import ROOT
from segtrace.cli.explain.missing import NOTHING

HEAVY = ("torch", "numpy", "pytorch_lightning", "monai")
ASKED = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print("code", end.code)
print("loaded", [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("script", ["train.py", "explain.py"])
@pytest.mark.parametrize(
    ("typed", "said", "code"),
    [
        ("--help", "Config ==", None),
        ("data=synaps", "did you mean synapse?", 1),
        ("sed=1", "no option 'sed'; allowed are", 1),
        ("probs.n=1", "did you mean probes", 1),
    ],
)
def test_help_and_what_is_misspelt_are_answered_before_anything_heavy_is_loaded(
    script, typed, said, code
):
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(ROOT / script), typed], capture_output=True, text=True
    )
    assert said in done.stdout + done.stderr
    assert done.stdout.endswith("loaded []\n"), done.stdout
    assert code is None or f"code {code}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["checkpoint=none.ckpt"], "checkpoint=none.ckpt: no such file"),
        ([], NOTHING),
        (["study=sanity", "study.foo=1"], "no option 'study.foo'; allowed are study.seeds"),
    ],
)
def test_what_explain_cannot_do_is_told_before_anything_heavy_is_loaded(typed, said, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(ROOT / "explain.py"), *typed],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stderr.startswith(f"explain.py: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "code 1\nloaded []\n"
    assert not list(tmp_path.iterdir())


def test_garbage_is_searched_for_once_all_is_imported_and_only_among_what_is_made_since():
    code = (
        "import gc; from segtrace.cli import start_up; print(gc.isenabled()); start_up.imported(); "
        "print(gc.isenabled(), gc.get_freeze_count() > 0); gc.unfreeze(); start_up.imported(); "
        "print(gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["False", "True True", "0", ""]
    assert len(done.stderr.splitlines()) <= 1


def test_explaining_a_checkpoint_loads_no_lightning():
    parts = "segtrace.cli.work, segtrace.cli.explain.explain_config, segtrace.report.page.page"
    code = f"import sys, {parts}; print([n for n in sys.modules if 'lightning' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
