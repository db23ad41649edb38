"""A closed pipe and a full log end no run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")

CODE = """
import sys
from pathlib import Path
from segtrace.cli.lasting import lasting_output
lasting_output()
for line in range(20000):
    print("a line of a long run", line)
print("the last one", flush=True)
Path(sys.argv[1]).write_text("whole")
"""


def run(tmp_path, stdout):
    done = tmp_path / "done"
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(done)], stdout=stdout, stderr=subprocess.PIPE, text=True
    )
    return process, done


def test_a_reader_that_leaves_is_no_word_and_ends_nothing(tmp_path):
    reader, writer = os.pipe()
    process, done = run(tmp_path, writer)
    os.close(writer)
    assert os.read(reader, 10) == b"a line of "
    os.close(reader)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert done.read_text() == "whole"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_log_is_one_line_and_ends_nothing(tmp_path):
    with FULL.open("w") as full:
        process, done = run(tmp_path, full)
    said = process.communicate()[1]
    assert said == (
        "standard output cannot be written (No space left on device): the run goes on without, "
        "its results are in files\n"
    )
    assert process.returncode == 0
    assert done.read_text() == "whole"
