import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.prepared import prepare
from segtrace.data import prepare as preparing
from segtrace.data.cache import digests, entries
from segtrace.data.cache.entries import LostSlicesError
from segtrace.data.labels import BTCV, TRANSUNET, organ_table
from segtrace.data.prepare import BrokenCasesError
from segtrace.data.preprocessing import Preprocessing, labels_of
from segtrace.data.sources import NiftiSource, RawSource
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError

ORGANS = organ_table(["liver", "spleen", "left_kidney"], BTCV)
SETTINGS = Preprocessing((-125.0, 275.0), 48, ORGANS)


@pytest.fixture
def source(tiny_raw):
    return RawSource(str(tiny_raw))


def folders(cache):
    return sorted(path.name for path in cache.iterdir())


def test_a_prepared_case_equals_the_same_case_preprocessed_afresh(source, tmp_path):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    volume = source.load("0005")
    images, geometry = SETTINGS.images(volume)
    labels = labels_of(volume, BTCV, SETTINGS, geometry)
    assert len(case) == 8
    assert case.geometry == geometry
    for index in range(8):
        assert np.array_equal(case.image(index), images[index])
        assert np.array_equal(case.label(index), labels[index])
        counts = np.bincount(case.label(index).ravel(), minlength=4)[1:]
        assert case.areas[index].tolist() == counts.tolist()
    assert case.areas.sum() > 0
    assert not case.phantom


def test_a_second_call_reads_the_cache_and_writes_nothing(source, tmp_path, monkeypatch):
    first = prepare(source, ["0005", "0006"], SETTINGS, tmp_path)
    monkeypatch.setattr(RawSource, "load", None)
    again = prepare(source, ["0006", "0005"], SETTINGS, tmp_path)
    assert [case.folder for case in again] == [case.folder for case in reversed(first)]


@pytest.mark.parametrize(
    "change",
    [
        {"window": (-100.0, 275.0)},
        {"size": 32},
        {"organs": organ_table(["spleen", "liver", "left_kidney"], BTCV)},
    ],
)
def test_other_settings_make_another_cache(source, tmp_path, change):
    prepare(source, ["0005"], SETTINGS, tmp_path)
    prepare(source, ["0005"], replace(SETTINGS, **change), tmp_path)
    assert len(folders(tmp_path)) == 2


def test_another_table_or_version_makes_another_cache(tiny_raw, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    table = {name: BTCV[name] for name in ORGANS}
    for numbering, other in ((table, "background"), (dict(BTCV), "refuse")):
        prepare(NiftiSource(str(tiny_raw), numbering, other=other), ["0005"], SETTINGS, cache)
    assert len(folders(cache)) == 2
    for constant in ("VERSION", "FORMAT"):
        monkeypatch.setattr(preparing, constant, 0)
        prepare(NiftiSource(str(tiny_raw), dict(BTCV)), ["0005"], SETTINGS, cache)
    assert len(folders(cache)) == 4


@pytest.fixture
def own(tiny_raw, tmp_path):
    """A copy of the data set with plain files, to be changed; they are old enough to trust."""
    root = tmp_path / "own"
    for part in ("img", "label"):
        (root / part).mkdir(parents=True)
        file = nibabel.load(tiny_raw / part / f"{part}0005.nii.gz")
        file.to_filename(root / part / f"{part}0005.nii")
    return root


def replaced(root, keep_time=True):
    """Take the spleen out of the label, in place: same name, same size, same times."""
    path = root / "label" / "label0005.nii"
    before = path.stat()
    content = bytearray(path.read_bytes())
    voxels = np.frombuffer(content, np.uint8)[352:]
    voxels[voxels == BTCV["spleen"]] = 0
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("settled", [False, True])
def test_a_label_replaced_with_its_old_time_is_read_anew(own, tmp_path, monkeypatch, settled):
    if settled:  # as if the files were old: their hashes are remembered
        monkeypatch.setattr(digests, "_SETTLED", 0)
    source, cache = RawSource(str(own)), tmp_path / "cache"
    for _ in range(2):
        (before,) = prepare(source, ["0005"], SETTINGS, cache)
    replaced(own)
    (after,) = prepare(source, ["0005"], SETTINGS, cache)
    spleen = ORGANS["spleen"] - 1
    assert before.areas[:, spleen].any()
    assert not after.areas[:, spleen].any()


def test_a_file_with_another_time_or_place_is_the_same_case(own, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    (first,) = prepare(RawSource(str(own)), ["0005"], SETTINGS, cache)
    monkeypatch.setattr(RawSource, "load", None)
    os.utime(own / "label" / "label0005.nii", (1, 1))
    for root in (own, shutil.copytree(own, tmp_path / "copy")):
        (again,) = prepare(RawSource(str(root)), ["0005"], SETTINGS, cache)
        assert again.folder == first.folder


def test_files_that_cannot_have_changed_are_not_read_again(own, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", 0)
    source, cache = RawSource(str(own)), tmp_path / "cache"
    for _ in range(2):
        prepare(source, ["0005"], SETTINGS, cache)
    monkeypatch.setattr(digests, "content_hash", None)
    prepare(source, ["0005"], SETTINGS, cache)


def test_what_was_just_written_is_compared_and_hashed_once(source, tmp_path, monkeypatch):
    hashed, content_hash = [], digests.content_hash

    def counting(path):
        hashed.append(path.name)
        return content_hash(path)

    monkeypatch.setattr(digests, "content_hash", counting)
    prepare(source, ["0005"], SETTINGS, tmp_path)
    own = [path.name for path in source.files("0005")]
    assert sorted(hashed) == sorted([*own, "image.npy", "label.npy"])


@pytest.mark.parametrize("other", [1, np.nan])
def test_an_array_that_is_not_what_was_written_is_found(source, tmp_path, other):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    arrays = {name: np.load(case.folder / name) for name in ("image.npy", "label.npy")}
    assert entries.read_case("0005", case.folder, digests.Digests(), arrays) is not None
    arrays["image.npy"][3, 20, 20] = other
    np.save(case.folder / "image.npy", arrays["image.npy"])
    assert entries._holds(case.folder, arrays)
    arrays["image.npy"][3, 20, 20] = 0
    assert entries.read_case("0005", case.folder, digests.Digests(), arrays) is None


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": lambda path: path.write_bytes(
        path.read_bytes()[:-3] + bytes([path.read_bytes()[-3] ^ 1]) + path.read_bytes()[-2:]
    ),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", ["image.npy", "label.npy", "index.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_anew_with_a_word(source, tmp_path, name, damage, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED", np.inf)  # nothing is remembered, however slow this is
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    before = {path.name: path.read_bytes() for path in case.folder.iterdir()}
    DAMAGE[damage](case.folder / name)
    with pytest.warns(UserWarning, match=r"case 0005: the prepared slices in .* are damaged"):
        (again,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before
    assert folders(tmp_path) == [case.folder.name]


@pytest.mark.parametrize("swap", [np.zeros((8, 40, 40), np.float32), np.zeros((8, 48, 48))])
def test_an_array_of_another_shape_or_type_is_made_anew(source, tmp_path, swap):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    np.save(case.folder / "image.npy", swap)
    with pytest.warns(UserWarning, match=r"damaged or incomplete, so they are made anew"):
        (again,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert again.image(3).shape == (48, 48)
    assert again.image(3).any()


def test_an_index_with_other_numbers_is_made_anew(source, tmp_path):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    index = json.loads((case.folder / "index.json").read_text())
    index["areas"][3][0] += 1
    (case.folder / "index.json").write_text(json.dumps(index))
    with pytest.warns(UserWarning, match=r"damaged"):
        (again,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert np.array_equal(again.areas, case.areas)


def test_damaged_entries_of_several_cases_are_told_in_one_line(source, tmp_path):
    for case in prepare(source, ["0005", "0006"], SETTINGS, tmp_path):
        (case.folder / "label.npy").unlink()
    with pytest.warns(UserWarning, match=r"case 0005, 0006: the prepared slices") as caught:
        prepare(source, ["0005", "0006"], SETTINGS, tmp_path)
    assert len(caught) == 1


def test_a_case_with_a_very_long_name_has_an_entry(tiny_raw, tmp_path):
    for part in ("img", "label"):
        (tmp_path / part).mkdir()
        file = tmp_path / part / f"{part}{'x' * 230}.nii.gz"
        shutil.copy(tiny_raw / part / f"{part}0005.nii.gz", file)
    (case,) = prepare(RawSource(str(tmp_path)), ["x" * 230], SETTINGS, tmp_path / "cache")
    assert case.image(0).shape == (48, 48)


def shifted(root, cases):
    """The data set with the scanner's offset left in."""
    for case in cases:
        path = root / "img" / f"img{case}.nii.gz"
        file = nibabel.load(path)
        nibabel.Nifti1Image(file.get_fdata() + 1024, file.affine).to_filename(path)


def test_what_was_found_in_the_files_is_told_once_a_run_also_from_the_cache(tiny_raw, tmp_path):
    root = shutil.copytree(tiny_raw, tmp_path / "copy")
    shifted(root, ["0005", "0006"])
    source, cases = RawSource(str(root)), ["0001", "0005", "0006"]
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"case 0005: no CT in HU.*1 more: 0006") as caught:
            prepared = prepare(source, cases, SETTINGS, tmp_path / "cache")
        assert len(caught) == 1
        assert [case.hounsfield_known for case in prepared] == [True, False, False]
        assert [case.geometry.sides_known for case in prepared] == [True] * 3


def test_an_interrupted_cache_is_never_taken_for_a_whole_one(source, tmp_path, monkeypatch):
    save = np.save

    def killed(path, array):
        if path.name == "label.npy":
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, ["0005"], SETTINGS, tmp_path)
    assert folders(tmp_path) == []
    monkeypatch.setattr(np, "save", save)
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert case.label(3).shape == (48, 48)


def test_two_processes_that_prepare_the_same_case_agree(source, tmp_path, monkeypatch):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    before = (case.folder / "image.npy").stat().st_ino
    preparing._write_case(digests.Digests(), (source, ("0005", False), SETTINGS, case.folder))
    assert folders(tmp_path) == [case.folder.name]
    assert (case.folder / "image.npy").stat().st_ino == before  # the first one's stays


def test_a_cache_that_cannot_be_written_is_named(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot write the slice cache.*data.cache_dir="):
        prepare(source, ["0005"], SETTINGS, tmp_path / "file")


def test_an_entry_that_is_a_file_is_made_anew(source, tmp_path):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    shutil.rmtree(case.folder)
    case.folder.touch()
    with pytest.warns(UserWarning, match="are damaged or incomplete, so they are made anew"):
        (again,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    assert again.label(3).shape == (48, 48)
    assert folders(tmp_path) == [case.folder.name]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", "a folder; name one NIfTI file"),
        ("broken link", "a link to .*gone, which is not there; mend the link"),
        ("loop", "a link that leads back to itself"),
        ("pipe", "a pipe or a device"),
    ],
)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_label_that_is_no_file_is_called_what_it_is(own, tmp_path, kind, words, ending):
    (own / "label" / "label0005.nii").unlink()
    path = own / "label" / f"label0005{ending}"
    make = {
        "folder": path.mkdir,
        "broken link": lambda: path.symlink_to(tmp_path / "gone"),
        "loop": lambda: path.symlink_to(path),
        "pipe": lambda: os.mkfifo(path),
    }
    make[kind]()
    with pytest.raises(InputError, match=rf"label0005{ending}: {words}"):
        prepare(RawSource(str(own)), ["0005"], SETTINGS, tmp_path / "cache")


def test_a_case_without_its_files_is_named(source, tmp_path):
    with pytest.raises(InputError, match=r"img0099.nii.gz: no such file, but case 0099 needs it"):
        prepare(source, ["0099"], SETTINGS, tmp_path)


def test_a_label_value_outside_the_table_leaves_no_cache(tiny_raw, tmp_path):
    source = NiftiSource(str(tiny_raw), {name: BTCV[name] for name in ORGANS})
    with pytest.raises(InputError, match=r"label0005.nii.gz: label value 2 is outside the label"):
        prepare(source, ["0005"], SETTINGS, tmp_path)
    assert folders(tmp_path) == []


def test_a_slice_loads_in_well_under_a_millisecond(source, tmp_path):
    (case,) = prepare(source, ["0005"], replace(SETTINGS, size=224), tmp_path)
    times = []
    for index in [*range(8)] * 5:
        start = time.perf_counter()
        case.image(index), case.label(index)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 1e-3


def test_both_real_layouts_give_the_same_slices(ct_root, tmp_path):
    settings = Preprocessing((-125.0, 275.0), 224, organ_table("synapse8", TRANSUNET))
    (raw,) = prepare(RawSource(str(ct_root)), ["9001"], settings, tmp_path)
    (files,) = prepare(TransUNetSource(str(ct_root)), ["9001"], settings, tmp_path)
    assert (len(raw), len(files)) == (112, 52)
    assert np.array_equal(raw.areas[60:], files.areas)
    for index in (0, 25, 51):
        assert np.array_equal(raw.label(60 + index), files.label(index))
        assert np.allclose(raw.image(60 + index), files.image(index), atol=1e-6)
    assert raw.geometry.spacing == pytest.approx((3 * 122 / 224, 3 * 122 / 224))
    assert np.isnan(files.geometry.spacing).all()


def test_the_name_of_a_case_stays_inside_the_cache(source, tmp_path, monkeypatch):
    load, files = source.load, source.files
    monkeypatch.setattr(source, "files", lambda case: files(case.removeprefix("../../")))
    monkeypatch.setattr(source, "load", lambda case: load(case.removeprefix("../../")))
    cases = prepare(source, ["0005", "../../0005"], SETTINGS, tmp_path / "deep" / "cache")
    assert len({case.folder for case in cases}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["cache"]
    assert len(folders(tmp_path / "deep" / "cache")) == 2


def test_an_order_of_organs_against_anatomy_is_told_once(tiny_raw, tmp_path):
    swapped = BTCV | {"right_kidney": 3, "left_kidney": 2}
    source, cases = NiftiSource(str(tiny_raw), swapped), ["0005", "0006"]
    for _ in range(2):  # from the cache too
        with pytest.warns(UserWarning, match=r"right kidney \(3\) lies on the patient's left"):
            prepare(source, cases, SETTINGS, tmp_path)
    with pytest.warns(UserWarning, match=r"data.labels=btcv would .*; the like of 1 more: 0006"):
        prepare(source, cases, SETTINGS, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(NiftiSource(str(tiny_raw), "btcv"), cases, SETTINGS, tmp_path)


def test_threads_side_by_side_write_the_same_and_name_the_broken_case(tiny_raw, tmp_path):
    source = RawSource(str(shutil.copytree(tiny_raw, tmp_path / "own")))
    cases = list(source.cases())
    broken = source.files(cases[-1])[0]
    alone = prepare(source, cases[:-1], SETTINGS, tmp_path / "alone")
    broken.write_bytes(broken.read_bytes()[:-30])
    with pytest.raises(InputError, match=rf"{broken.name}: not a readable NIfTI file"):
        prepare(source, cases, SETTINGS, tmp_path / "beside", workers=2)
    assert len(folders(tmp_path / "beside")) >= 1  # what was done is kept
    for case in prepare(source, cases[:-1], SETTINGS, tmp_path / "beside"):
        (same,) = [other for other in alone if other.name == case.name]
        for name in ("image.npy", "label.npy"):
            assert (case.folder / name).read_bytes() == (same.folder / name).read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_all_broken_cases_are_named_at_once_and_the_others_are_kept(tiny_raw, tmp_path, workers):
    source = RawSource(str(shutil.copytree(tiny_raw, tmp_path / "own")))
    first, second, missing, whole = source.cases()
    image, label = source.files(first)[0], source.files(second)[1]
    image.write_bytes(image.read_bytes()[:-30])
    label.write_bytes(label.read_bytes()[:200])
    gone = source.files(missing)[1]
    gone.unlink()
    with pytest.raises(BrokenCasesError, match=r"^3 cases cannot be read, ") as caught:
        prepare(source, source.cases(), SETTINGS, tmp_path / "cache", workers)
    assert caught.value.wrong.keys() == {first, second, missing}
    for file in (image, label, gone):
        assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [name.split("-")[0] for name in folders(tmp_path / "cache")] == [whole]


def test_of_many_broken_cases_some_are_named():
    said = str(
        BrokenCasesError({f"{n:04}": f"img{n:04}.nii.gz: it ends too early" for n in range(30)})
    )
    assert said.startswith("30 cases cannot be read, 0000, 0001, 0002, 0003, 0004 and 25 more: ")
    assert said.endswith("img0004.nii.gz: it ends too early; and 25 more")


def test_entries_of_another_version_are_left_to_it_and_told_of(
    source, tmp_path, monkeypatch, capsys
):
    (old,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    before = {path.name: path.read_bytes() for path in old.folder.iterdir()}
    prepare(source, ["0005"], replace(SETTINGS, size=32), tmp_path)  # other settings are no word
    assert "another version" not in capsys.readouterr().out
    monkeypatch.setattr(preparing, "VERSION", 99)
    monkeypatch.setattr(preparing, "MADE_BY", "other")
    for word in (True, False):  # once
        (new,) = prepare(source, ["0005"], SETTINGS, tmp_path)
        words = "there are another version's of segtrace; they are made anew beside those"
        assert (f"the slices of 0005 {words}" in capsys.readouterr().out) == word
    assert new.folder != old.folder
    assert {path.name: path.read_bytes() for path in old.folder.iterdir()} == before
    assert np.array_equal(old.image(3), new.image(3))


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_slices_that_are_lost_while_they_are_read_are_named(source, tmp_path, damage):
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    DAMAGE[damage](case.folder / "image.npy")
    with pytest.raises(LostSlicesError, match=r"image.npy was taken away or changed while") as lost:
        case.image(7)
    assert str(lost.value).endswith("); the next start makes it anew")


def test_a_disk_that_is_full_while_an_entry_is_looked_up_leaves_no_half_file(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(digests, "_SETTLED", 0)
    (case,) = prepare(source, ["0005"], SETTINGS, tmp_path)
    (case.folder / ".index.json.77").write_text("half")  # of a process that was killed
    index = json.loads((case.folder / "index.json").read_text())
    (case.folder / "index.json").write_text(json.dumps({**index, "seen": None}))

    def full(self, text):
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)
        prepare(source, ["0005"], SETTINGS, tmp_path)
    assert folders(case.folder) == ["image.npy", "index.json", "label.npy"]


ORPHANED = """
import os
from segtrace.processes import side_by_side
def own(_):
    return os.getpid()
if __name__ == "__main__":
    with side_by_side(own, [1, 2], 2, "") as found:
        print(next(found), flush=True)
        os.kill(os.getpid(), 9)
"""


def test_processes_that_prepare_do_not_outlive_a_killed_one(tmp_path):
    script = tmp_path / "orphaned.py"
    script.write_text(ORPHANED)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    until = time.monotonic() + 20
    while runs(int(done.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(int(done.stdout))


def runs(process: int) -> bool:
    """Zombies have ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
