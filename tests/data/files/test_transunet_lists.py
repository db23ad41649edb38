import pytest

from segtrace.data.cases import TEST12, TRAIN18, VAL3
from segtrace.data.files.transunet_lists import PARTS, read_lists, slice_name
from segtrace.data.modules import TransUNetData
from segtrace.data.published.synapse import SLICES, TEST_LIST, TRAIN_SLICES
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError


def test_the_published_numbers_are_those_that_were_counted():
    assert sum(TRAIN_SLICES.values()) == 2211
    assert SLICES - 2211 == 1568
    assert [len(TRAIN_SLICES), len(TEST_LIST)] == [18, 12]
    assert {*TRAIN18, *TEST12} == {f"{n:04d}" for n in (*range(1, 11), *range(21, 41))}
    assert [TRAIN_SLICES[case] for case in TRAIN18] == [
        117, 131, 163, 149, 148, 143, 96, 124, 131, 88, 89, 153, 93, 104, 98, 99, 90, 195
    ]  # fmt: skip
    assert (next(iter(TRAIN_SLICES)), TEST_LIST[0]) == ("0031", "0008")


def download(root, cases=TRAIN18, volumes=TEST12, parts=PARTS[0]):
    """What TransUNet distributes, without its lists; the files are empty."""
    for part in parts:
        (root / part).mkdir()
    for case in cases:
        for index in range(TRAIN_SLICES[case]):
            (root / parts[0] / f"{slice_name(case, index)}.npz").touch()
    for case in volumes:
        (root / parts[1] / f"case{case}.npy.h5").touch()
    return root


@pytest.mark.parametrize("parts", PARTS)
def test_a_download_without_lists_is_read_by_transunets_own(tmp_path, capsys, parts):
    source = TransUNetSource(str(download(tmp_path, parts=parts)))
    split = source.split()
    assert sorted(split["train"] + split["val"]) == list(TRAIN18)
    assert split["val"] == VAL3
    assert split["test"] == source.held_out() == TEST_LIST
    assert sum(len(source.files(case)) for case in TRAIN18) == 2211
    assert all(path.exists() for case in source.cases() for path in source.files(case))
    TransUNetSource(str(source.root))
    assert capsys.readouterr().out.count("TransUNet's own lists are used") == 1


def test_without_the_volumes_it_is_the_same_training(tmp_path):
    split = TransUNetSource(str(download(tmp_path, volumes=()))).split()
    assert len(split["train"]) == 15
    assert split["test"] == ()


def test_with_cases_missing_the_published_split_without_them_is_offered(tmp_path):
    download(tmp_path, [case for case in TRAIN18 if case != "0005"], TEST12[1:])
    with pytest.raises(InputError, match=r"no published split; .*train: \[\"0006\"") as caught:
        TransUNetData(str(tmp_path)).split  # noqa: B018 (chosen when asked for)
    assert '"0001"' not in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "more", "words"),
    [
        (3, None, r"lacks case0005_slice003.npz, which they name"),
        (None, "case9001_slice000", r"holds case9001_slice000.npz, which they do not name"),
        (None, "case0005_slice117", r"holds case0005_slice117.npz, which they do not name"),
    ],
)
def test_other_slices_than_the_own_lists_name_ask_for_a_list(tmp_path, lost, more, words):
    download(tmp_path, ["0005"])
    if lost is not None:
        (tmp_path / "train_npz" / f"{slice_name('0005', lost)}.npz").unlink()
    if more:
        (tmp_path / "train_npz" / f"{more}.npz").touch()
    with pytest.raises(InputError, match=rf"own do not fit: .*{words}; give data.lists="):
        TransUNetSource(str(tmp_path))


def test_a_folder_without_slices_says_so(tmp_path):
    with pytest.raises(InputError, match=r"own do not fit: .*train_npz holds no npz file"):
        TransUNetSource(str(download(tmp_path, cases=())))


def test_lists_that_are_named_are_not_replaced(tmp_path):
    with pytest.raises(InputError, match=r"no train.txt and test_vol.txt in .*else; give"):
        TransUNetSource(str(download(tmp_path, ["0005"])), lists=str(tmp_path / "else"))


@pytest.mark.parametrize("ending", ["", ".npz"])
@pytest.mark.parametrize("name", ["test_vol.txt", "all.lst"])
def test_lines_may_end_as_files_do_and_all_of_them_may_stand_for_the_test_list(
    tmp_path, ending, name
):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text(f"case0005_slice000{ending}\n")
    (lists / name).write_text("case0005.npy.h5\ncase0008.npy.h5\n")
    found = read_lists(tmp_path, PARTS[0], None)
    assert found.slices == {"0005": 1}
    assert found.volumes == ("0005", "0008")
    assert found.whole
