"""Whatever a name holds, its file stays where it was put and is its own."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segtrace import InputError
from segtrace.names import check_shown, file_name

PLAIN = ["liver", "left_kidney", "Liver", "0001", "img0001", "ABD_001", "enc5", "seg_grad_cam",
         "a b", "epoch_003", "Größe", "肝臓", "v1.2", "a-b", "x" * 100]  # fmt: skip
HOSTILE = ["", ".", "..", "...", "../../x", "/etc/x", "a/b", "a\\b", "C:x", "a\0b", "\x1b[31m", "~",
           "-rf", ".hidden", " a", "a ", "a.", "con", "NUL.txt", "com1", "a*b?", "a|b", "a<b>",
           '"', "a\nb", "\u202e", "\udcff", "e\u0301", "x" * 101, "肝" * 90]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_an_ordinary_name_is_its_own_file_name(name):
    assert file_name(name) == name
    assert file_name(name, [name, "other"]) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_leave_its_folder_is_changed(name):
    found = file_name(name)
    assert found != name
    assert "~" in found
    assert ".." not in found


def is_safe(found: str) -> bool:
    one = all(len(kind(found).parts) == 1 for kind in (PurePosixPath, PureWindowsPath))
    return one and found.isprintable() and found[0] not in ".- " and 0 < len(found.encode()) < 255


@given(st.text(max_size=300))
@example("..")
@example("e\u0301" * 60)
def test_every_name_becomes_one_part_of_a_path(name):
    assert is_safe(file_name(name))


@given(st.lists(st.text(alphabet="aAbß/._ ~\u0130i", max_size=5), unique=True, max_size=12))
@example(["Liver", "liver", "LIVER", "a/b", "a_b", "A_b"])
@example(["Straße", "STRASSE", "strasse"])
def test_names_that_lie_beside_each_other_stay_apart_where_case_does_not_count(names):
    found = [file_name(name, names) for name in names]
    assert len({name.casefold() for name in found}) == len(names)


def test_the_file_of_a_name_can_be_written_in_its_folder(tmp_path):
    for name in [*PLAIN, *HOSTILE]:
        (tmp_path / f"{file_name(name)}.nii.gz").write_text(repr(name))
    found = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert sorted(path.read_text() for path in found) == sorted(map(repr, [*PLAIN, *HOSTILE]))
    assert {path.parent for path in found} == {tmp_path}


def test_control_codes_in_a_name_of_the_users_are_refused():
    check_shown("case", ["0001", "Größe", "no\xa0break", 7])
    with pytest.raises(InputError, match=r"case 'a\\x1bb' holds control codes; rename it"):
        check_shown("case", ["0001", "a\x1bb"])
