"""Pipes and devices, also behind links, are not waited for."""

import json
import os

import pytest

from segtrace.checkpoint.mapping_file import read_mapping
from segtrace.data.cache.digests import Digests
from segtrace.data.cache.entries import read_case
from segtrace.errors import InputError
from segtrace.plain_files import check_plain
from segtrace.report.run_folder import kept_in, taken
from segtrace.studies.seeds.run_tables import typed_rows


@pytest.fixture(params=["a pipe", "a link to a device"])
def endless(request, tmp_path):
    def endless(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path) if request.param == "a pipe" else path.symlink_to("/dev/zero")
        return path

    return endless


def test_files_folders_and_links_to_them_are_plain(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for path in (tmp_path, tmp_path / "file", tmp_path / "link", tmp_path / "nowhere"):
        check_plain(path)


def test_what_has_no_end_is_refused(endless):
    with pytest.raises(OSError, match="not a plain file"):
        check_plain(endless("x"))


def test_options_and_tables_of_a_run_are_refused(endless):
    config, table = endless("run/config.yaml"), endless("run/dice.csv")
    with pytest.raises(InputError, match="not a plain file"):
        read_mapping(config, "run/config.yaml")
    with pytest.raises(InputError, match="cannot be read: not a plain file"):
        typed_rows(table, {"case": str})
    assert kept_in(config.parent) == {}
    with pytest.raises(InputError, match="holds results already"):
        taken(config.parent, "train")


@pytest.mark.parametrize("name", ["index.json", "image.npy"])
def test_a_prepared_case_is_made_anew(name, endless):
    folder = endless(f"case/{name}").parent
    if name != "index.json":
        (folder / "index.json").write_text(json.dumps({"check": 0, "arrays": {}}))
    assert read_case("case", folder, Digests()) is None
