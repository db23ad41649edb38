import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.pages import ORGANS, RULES, STAGES, epoch, read_page, unpacked, wrong
from helpers.written import write_page
from segtrace.errors import InputError
from segtrace.measures.localisation import over_slices
from segtrace.measures.measure import on_page
from segtrace.report import page as package
from segtrace.report.page.likeness import likeness
from segtrace.report.page.page import About, Page
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.page.whole_cases import WholeCases

EPOCHS = (0, 3, 8)
SCRIPT = sum(path.stat().st_size for path in Path(package.__file__).parent.glob("script/*.js"))
"""Bytes that every page has."""
SHAPE = (len(STAGES), len(RULES), len(ORGANS), 3)


@pytest.fixture(scope="module")
def series():
    return [epoch(number) for number in EPOCHS]


@pytest.fixture(scope="module")
def path(series, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    about = About({"checkpoint": "epoch_008.ckpt"}, events=["liver leaks at dec1"])
    write_page(path, series, about)
    return path


@pytest.fixture(scope="module")
def page(path):
    return read_page(path)


def test_the_page_is_one_file_that_asks_for_nothing_from_outside(path):
    text = path.read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    assert not re.search(r"<link|\bsrc=|@import|url\(|\bfetch\(|XMLHttp|import\(", text)
    assert "default-src 'none'" in text
    assert "{{" not in text
    assert "{%" not in text


SECTION = Section(
    "Runs <compared>",
    ("The liver & the spleen.",),
    (Shown(embedded(np.zeros((4, 6, 3), np.uint8)), "A black picture."),),
    (Table.of("A row each.", [{"organ": "liver", "dice": 0.12345, "low": float("nan")}]),),
)


def test_a_section_stands_below_the_maps_and_alone_where_there_are_none(series, tmp_path):
    page = Page(sections=[SECTION])
    page.write(tmp_path / "alone.html")
    page.add(series[-1])
    page.write(tmp_path / "index.html")
    assert read_page(tmp_path / "index.html")["all_epochs"] == [8]
    for name in ("alone.html", "index.html"):
        text = (tmp_path / name).read_text("utf-8")
        assert "<h2>Runs &lt;compared&gt;</h2>" in text
        assert "<p>The liver &amp; the spleen.</p>" in text
        assert "<figcaption>A black picture.</figcaption>" in text
        assert "<td>liver</td><td>0.123</td><td></td>" in text
        assert re.findall(r'src="(.*?),', text) == ["data:image/png;base64"]
        assert "not for diagnosis" in text


def test_the_page_says_what_it_is_not(path):
    assert "research use only, not for diagnosis · contains image data" in path.read_text("utf-8")


def test_every_number_of_every_shown_map_is_the_records_own(series, page):
    for measured, frame in zip(series, page["frames"], strict=True):
        assert set(frame["numbers"]) == {one.name for one in on_page()}
        for name, text in frame["numbers"].items():
            found = unpacked(text, "<f4", *SHAPE)
            np.testing.assert_array_equal(found, measured.measures[name].astype("f4"))
        status = unpacked(frame["status"], "i1", *SHAPE)
        np.testing.assert_array_equal(status, measured.record.flow.status.numpy())


def test_every_number_over_the_slices_is_there_for_every_epoch(series, page):
    assert page["all_epochs"] == list(EPOCHS)
    for name, text in page["means"].items():
        found = unpacked(text, "<f4", len(EPOCHS), *SHAPE[:3])
        for measured, numbers in zip(series, found, strict=True):
            expected = over_slices(measured.measures)[name].astype("f4")
            np.testing.assert_array_equal(numbers, expected)


def test_events_facts_and_versions_stand_on_the_page(page):
    assert page["events"] == ["liver leaks at dec1"]
    facts = dict(page["facts"])
    assert facts["checkpoint"] == "epoch_008.ckpt"
    assert "torch" in facts["packages"]


def test_folders_are_cut_from_all_facts(series, tmp_path):
    facts = {
        "checkpoint": "/home/meier/runs/epoch_008.ckpt",
        "network": {"weights": "C:\\Users\\Meier\\net.pth", "_target_": "monai.networks.nets.UNet"},
        "notes": ["see /data/meier/notes.txt"],
    }
    write_page(tmp_path / "index.html", series[-1:], About(facts))
    text = (tmp_path / "index.html").read_text("utf-8")
    assert "meier" not in text.lower()
    assert "epoch_008.ckpt" in text
    assert "monai.networks.nets.UNet" in text
    assert str(tmp_path) not in text


def test_the_file_name_of_an_unlabelled_image_is_not_told(series, tmp_path):
    record = series[-1].record
    scene = replace(record.scene, truth=None, cases=("Meier_Hans",) * 3)
    unlabelled = replace(series[-1], record=replace(record, scene=scene, region="pred"))
    write_page(tmp_path / "index.html", [unlabelled])
    assert "Meier" not in (tmp_path / "index.html").read_text("utf-8")
    page = read_page(tmp_path / "index.html")
    assert page["cases"] == ["image 1"] * 3
    assert page["truth"] is None


def test_volume_and_dice_of_whole_cases_stand_beside_their_slices(series, tmp_path):
    cases = {"0027": {"voxel_ml": 0.5, "truth_ml": {"liver": 1520.0}}}
    page = Page()
    for measured, dice in zip(series, (0.1, 0.8, 0.94), strict=True):
        found = {"0027": {"liver": {"dice": dice, "voxels": 3000}}}
        page.add(measured, WholeCases.from_plain(cases, found))
    page.write(tmp_path / "index.html")
    frames = read_page(tmp_path / "index.html")["frames"]
    for frame, dice in zip(frames, (0.1, 0.8, 0.94), strict=True):
        whole = {name: unpacked(text, "<f4", 3, 3) for name, text in frame["whole"].items()}
        liver = {name: values[ORGANS.index("liver")].tolist() for name, values in whole.items()}
        assert liver["dice"] == pytest.approx([dice, dice, np.nan], nan_ok=True)
        assert liver["truth_ml"] == pytest.approx([1520, 1520, np.nan], nan_ok=True)
        assert liver["found_ml"] == pytest.approx([1500, 1500, np.nan], nan_ok=True)


def test_an_image_without_labels_is_no_case_of_the_training(series, tmp_path):
    record = series[-1].record
    scene = replace(record.scene, truth=None)  # it may have the name of one
    page = Page()
    known = WholeCases.from_plain({}, {"0027": {"liver": {"dice": 0.9, "voxels": 1}}})
    page.add(replace(series[-1], record=replace(record, scene=scene, region="pred")), known)
    page.write(tmp_path / "index.html")
    (frame,) = read_page(tmp_path / "index.html")["frames"]
    assert np.isnan(unpacked(frame["whole"]["dice"], "<f4", 3, 3)).all()


def test_the_newest_epoch_can_hold_other_regions(series, tmp_path):
    page = Page()
    with pytest.raises(InputError, match="at least one checkpoint"):
        page.add_region(wrong(3, "fp"))
    for measured in series[:2]:
        page.add(measured)
    expected = {region: wrong(3, region) for region in ("fp", "fn")}
    for measured in expected.values():
        page.add_region(measured)
    page.write(tmp_path / "index.html")
    first, newest = read_page(tmp_path / "index.html")["frames"]
    assert first["others"] == []
    assert [other["region"] for other in newest["others"]] == ["false positives", "false negatives"]
    for other, measured in zip(newest["others"], expected.values(), strict=True):
        status = unpacked(other["status"], "i1", *SHAPE)
        np.testing.assert_array_equal(status, measured.record.flow.status.numpy())
        gain = unpacked(other["numbers"]["gain"], "<f4", *SHAPE)
        np.testing.assert_array_equal(gain, measured.measures["gain"].astype("f4"))
        mean = over_slices(measured.measures)["gain"].astype("f4")
        np.testing.assert_array_equal(unpacked(other["means"]["gain"], "<f4", *SHAPE[:3]), mean)
        alike = likeness(measured.record.flow, series[1].record.flow)  # of the same epoch
        np.testing.assert_array_equal(unpacked(other["likeness"], "<f4", *SHAPE), alike)


def test_other_regions_go_before_the_last_epoch_does(tmp_path):
    page = Page()
    page.add(epoch(3))
    sizes, others = [], []
    for budget in (10 * 2**20, 10 * 2**20, SCRIPT + 48_000):
        page.write(tmp_path / "index.html", budget=budget)
        (frame,) = read_page(tmp_path / "index.html")["frames"]
        sizes.append((tmp_path / "index.html").stat().st_size)
        others.append(len(frame["others"]))
        page.add_region(wrong(3, "fp"))
    assert others == [0, 1, 0]
    assert sizes[2] < SCRIPT + 48_000 < sizes[0] < sizes[1]


def test_a_region_that_is_nowhere_has_no_maps_at_any_resolution(tmp_path):
    page = Page()
    page.add(epoch(8))
    page.add_region(wrong(8, "fp"))  # the prediction is perfect
    page.write(tmp_path / "index.html")
    whole = (tmp_path / "index.html").stat().st_size
    page.write(tmp_path / "index.html", budget=whole - 1)  # coarser maps
    (other,) = read_page(tmp_path / "index.html")["frames"][0]["others"]
    assert unpacked(other["maps"]["enc1"], "u1", 0).size == 0


def test_no_name_can_end_the_element_that_holds_the_data(series, tmp_path):
    record = series[-1].record
    scene = replace(record.scene, cases=("</script><b>", "0027", "0028"))
    named = replace(series[-1], record=replace(record, scene=scene))
    write_page(tmp_path / "index.html", [named], About(events=["</script>"]))
    assert read_page(tmp_path / "index.html")["events"] == ["</script>"]


def test_epochs_fall_out_to_keep_the_budget_and_the_page_names_all_of_them(tmp_path):
    page = Page()
    for number in range(9):
        page.add(epoch(number))
    budgets = (SCRIPT + 68_000, SCRIPT + 118_000, 10 * 2**20)
    kept = []
    for budget in budgets:
        page.write(tmp_path / "index.html", budget=budget)
        assert (tmp_path / "index.html").stat().st_size <= budget
        found = read_page(tmp_path / "index.html")
        assert found["all_epochs"] == list(range(9))
        kept.append([frame["epoch"] for frame in found["frames"]])
    assert kept[-1] == list(range(9))
    assert 1 < len(kept[0]) < len(kept[1]) < 9
    assert all(epochs[0] == 0 and epochs[-1] == 8 for epochs in kept)


def test_maps_are_coarser_before_epochs_fall_out(tmp_path):
    page = Page()
    for number in (0, 4, 8):
        page.add(epoch(number))
    page.write(tmp_path / "index.html")
    whole = (tmp_path / "index.html").stat().st_size
    page.write(tmp_path / "index.html", budget=whole - 1)
    found = read_page(tmp_path / "index.html")
    assert len(found["frames"]) == 3
    assert found["factors"] == {"enc1": 2, "dec1": 1, "dec2": 2, "head": 2}


def test_a_budget_without_room_for_one_epoch_is_refused(series, tmp_path):
    with pytest.raises(InputError, match="no room for one epoch; explain fewer slices"):
        write_page(tmp_path / "index.html", series, budget=30_000)
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((), "at least one checkpoint"), ((3, 3), "epoch 3 comes after epoch 3"), ((4, 2), "order")],
)
def test_epochs_that_are_no_series_are_refused(numbers, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write_page(tmp_path / "index.html", [epoch(number) for number in numbers])


def test_other_slices_are_refused(series, tmp_path):
    record = series[1].record
    scene = replace(record.scene, slices=(18, 31, 8))
    other = replace(series[1], record=replace(record, scene=scene))
    with pytest.raises(InputError, match="epochs 0 and 3 have other slices"):
        write_page(tmp_path / "index.html", [series[0], other])


def test_equal_input_makes_an_equal_file(series, path, tmp_path):
    again = tmp_path / "index.html"
    about = About({"checkpoint": "epoch_008.ckpt"}, events=["liver leaks at dec1"])
    write_page(again, iter(series), about)
    assert again.read_bytes() == path.read_bytes()


def test_a_record_without_spacing_has_no_millimetres(series, tmp_path):
    record = series[-1].record
    bare = replace(series[-1], record=replace(record, scene=replace(record.scene, spacing=None)))
    write_page(tmp_path / "index.html", [bare])
    assert read_page(tmp_path / "index.html")["spacing"] == [None] * 3
    some = torch.tensor([[0.8, 0.7], [torch.nan, torch.nan], [0.8, 0.7]])
    scene = replace(record.scene, spacing=some)
    write_page(tmp_path / "index.html", [replace(bare, record=replace(record, scene=scene))])
    assert read_page(tmp_path / "index.html")["spacing"][1] is None
