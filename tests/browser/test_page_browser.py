"""The page does what its controls say, in a real browser, opened from disk."""

from dataclasses import replace

import pytest
from selenium.webdriver import ActionChains, Keys

from browser.acting import cautions, choose, find, press, settled, text, to_organ, to_stage
from browser.screenshots import SIZE, open_page, resize, until
from helpers.pages import ORGANS, RULES, STAGES, blind, epoch, original, wrong
from helpers.written import write_page
from segtrace.measures.measure import table
from segtrace.report.figures.route import Diagram, route_figure
from segtrace.report.page.page import About, Page
from segtrace.report.page.routes import CAUTION, route_entry
from segtrace.report.page.sentences import CAUTIONS
from segtrace.report.page.whole_cases import WholeCases
from segtrace.report.route_words import Branch

COLOURED = """
const canvas = document.getElementById(arguments[0]);
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let count = 0;
for (let i = 0; i < pixels.length; i += 4) {
  count += Math.max(pixels[i], pixels[i + 1], pixels[i + 2])
    - Math.min(pixels[i], pixels[i + 1], pixels[i + 2]) > 30;
}
return count / (canvas.width * canvas.height);
"""
"""Part of a canvas that is not grey."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    page = Page()
    cases = {"0027": {"voxel_ml": 0.5, "truth_ml": {"liver": 1520.0}}}
    for number in (0, 3, 8):
        found = {"0027": {"liver": {"dice": 0.1 * number, "voxels": 3000}}}
        page.add(epoch(number), WholeCases.from_plain(cases, found))
    page.about = About({"checkpoint": "epoch_008.ckpt"})
    page.write(path)
    return path


@pytest.fixture
def page(driver, path):
    resize(driver, *SIZE)
    driver.get_log("browser")  # of the pages before
    open_page(driver, path)
    yield driver
    errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_on_top_stand_the_organs_the_chosen_ones_sentence_and_the_warning(page):
    organs = page.find_elements("css selector", "#organs button")
    assert [b.text for b in organs] == [
        f"{name} · Dice 1.00" for name in ("Left kidney", "Liver", "Spleen")
    ]
    to_organ(page, "liver")
    words = "Liver: found very well (Dice 1.00, these slices). Seen on 2 cases, "
    settled(page, "#headline", words)
    assert text(page, ".use") == "research use only, not for diagnosis · contains image data"


def test_everything_fits_the_width_of_1280_pixels(page):
    assert page.execute_script("return document.documentElement.scrollWidth") <= 1280


def test_viewer_and_stages_are_on_the_first_screen(page):
    bottom = page.execute_script(
        "return document.getElementById('strip').getBoundingClientRect().bottom"
    )
    assert bottom < 900


def test_a_click_chooses_the_organ_and_the_slice_in_the_middle_of_its_own(page):
    to_organ(page, "liver")
    page.execute_script("FRAMES.at(-1).dice.set([0.2, 0.9, 0.5], at2(1, 0)); chooseOrgan(1);")
    assert page.execute_script("return [slicesOf(1), state.slice]") == [[0, 2, 1], 2]
    to_organ(page, "spleen")
    settled(page, "#map-words", "Evidence for spleen")
    assert "0028, slice 7" in text(page, "#ct-words")
    options = [o.text for o in page.find_elements("css selector", "#slice option")]
    assert options[0] == "0028, slice 7 · Dice 1.00"
    assert options[1] == "0027, slice 18 · organ not here"


def test_the_whole_case_has_its_dice_and_volumes_where_they_are_known(page):
    to_organ(page, "liver")
    settled(page, "#ct-words", "whole case: Dice 0.80, truth 1520 ml, prediction 1500 ml")
    press(page, Keys.ARROW_DOWN)
    settled(page, "#ct-words", "whole case: Dice 0.30")
    to_organ(page, "spleen")
    settled(page, "#ct-words", "0028, slice 7")
    assert "whole case" not in text(page, "#ct-words")


def test_a_value_between_undefined_ones_is_a_dot(page):
    page.execute_script("""
        const e = DATA.all_epochs.length - 1, size = DATA.stages.length * RULES * ORGANS;
        DATA.means.gain.fill(NaN, 0, e * size);
        show();
    """)
    until(lambda: find(page, "#chart-epochs circle"), 5)


def test_the_rule_can_be_chosen_and_the_sentences_follow(page):
    press(page, Keys.ARROW_DOWN)
    settled(page, "#map-words", "epoch 3")
    before = text(page, "#headline")
    choose(page, "rule", "Grad-PAM")
    settled(page, "#map-words", "Grad-PAM")
    assert text(page, "#headline") != before
    assert "Grad-PAM" in text(page, "#reading")


def test_another_slice_and_a_slice_without_the_organ_can_be_chosen(page):
    to_organ(page, "spleen")
    settled(page, "#map-words", "Evidence for spleen")
    choose(page, "slice", "0027, slice 31 · organ not here")
    settled(page, "#ct-words", "slice 31")
    assert cautions(page)["status"] == "Not shown: empty region, nothing to explain."
    assert "no map to show" in text(page, "#map-words")


def test_arrow_keys_walk_through_stages_and_epochs(page):
    to_stage(page, "enc1")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    settled(page, "#map-words", "at dec2")
    press(page, Keys.ARROW_DOWN)
    settled(page, "#epoch-words", "epoch 3")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    settled(page, "#epoch-words", "epoch 0, untrained")
    assert "epoch 0, untrained" in text(page, "#what")
    assert cautions(page)["untrained"] == CAUTIONS["untrained"]


def test_letters_change_organ_slice_and_rule(page):
    organ = text(page, "#organs [aria-checked=true]")
    press(page, "o")
    settled(page, "#map-words", "Evidence for")
    assert text(page, "#organs [aria-checked=true]") != organ
    press(page, "r")
    settled(page, "#map-words", "Grad-PAM")
    slice_ = text(page, "#ct-words")
    press(page, "]")
    settled(page, "#ct-words", "slice")
    assert text(page, "#ct-words") != slice_


def test_sliders_move_stage_and_epoch(page):
    find(page, "#epoch").send_keys(Keys.HOME)
    settled(page, "#epoch-words", "untrained")
    find(page, "#stage").send_keys(Keys.HOME)
    settled(page, "#stage-words", next(iter(STAGES)))
    find(page, "#stage").send_keys(Keys.ARROW_RIGHT)
    settled(page, "#stage-words", "dec1")


def test_the_overlay_and_the_contours_come_and_go(page):
    to_stage(page, "dec2")
    assert page.execute_script(COLOURED, "ct") > 0  # contours
    find(page, "#truth").click()
    find(page, "#prediction").click()
    assert page.execute_script(COLOURED, "ct") == 0
    assert page.execute_script(COLOURED, "map") > 0
    press(page, "h")
    assert page.execute_script(COLOURED, "map") == 0
    press(page, "t")
    assert page.execute_script(COLOURED, "map") > 0


def test_less_opacity_leaves_more_of_the_ct(page):
    to_stage(page, "dec1")
    full = page.execute_script(COLOURED, "map")
    script = "const o = arguments[0]; o.value = 0; o.dispatchEvent(new Event('input'))"
    page.execute_script(script, find(page, "#opacity"))
    assert page.execute_script(COLOURED, "map") < full / 2


def test_a_window_preset_changes_the_ct(page):
    script = "return document.getElementById('ct').toDataURL()"
    before = page.execute_script(script)
    choose(page, "window", "liver, W 150 L 90")
    assert page.execute_script(script) != before


def test_a_shared_scale_shows_that_an_early_map_is_weak(page):
    to_stage(page, "head")
    choose(page, "scale", "all epochs' maximum")
    settled(page, "#map-bar", "largest of these epochs")


def test_hu_millimetres_and_labels_stand_under_the_cursor(page):
    ActionChains(page).move_to_element_with_offset(find(page, "#ct"), 0, 0).perform()
    settled(page, "#readout", "HU")
    words = text(page, "#readout")
    assert "mm from the R edge" in words
    assert "truth: none" in words
    assert words.startswith("35 HU")  # 0.4 of the window
    size = find(page, "#ct").size
    corner = (-size["width"] // 2 + 2, -size["height"] // 2 + 2)
    ActionChains(page).move_to_element_with_offset(find(page, "#ct"), *corner).perform()
    settled(page, "#readout", "≤ -125 HU")


def windows(page):
    return [option.text for option in page.find_elements("css selector", "#window option")]


def test_the_input_offers_no_window_beyond_its_own(page):
    assert len(windows(page)) == 4
    assert not any("bone" in name for name in windows(page))
    assert "The CT is the network's input, 96 × 128 pixels" in text(page, "#reading")


MAP = "return document.getElementById('map').toDataURL()"

MIDDLE_GREY = """
const canvas = document.getElementById("ct"), y = arguments[0] * canvas.height;
return canvas.getContext("2d").getImageData(canvas.width / 2, y, 1, 1).data[0];
"""
"""Brightness on the middle line, so far down."""


def test_the_files_own_ct_has_hu_beyond_the_networks_window(driver, tmp_path):
    one = epoch(8)
    place = replace(one.record.scene, originals=(original(3), original(3), original(2)))
    write_page(tmp_path / "index.html", [replace(one, record=replace(one.record, scene=place))])
    open_page(driver, tmp_path / "index.html")
    to_organ(driver, "spleen")
    settled(driver, "#ct-words", "0028, slice 7")  # the bone lies between the kidneys' boxes
    told = text(driver, "#reading")
    assert "The CT is shown as its file has it, 288 × 384 or 192 × 256 pixels" in told
    assert "The network was given 96 × 128 pixels and a window of -125 to 275 HU" in told
    canvas = find(driver, "#ct")
    top, _, height, _ = driver.execute_script("return DATA.crop")
    bone, tissue = ((row - top) / height for row in (76, 50))
    for down, words in ((bone, "1500 HU"), (tissue, "35 HU")):
        offset = round((down - 0.5) * canvas.size["height"])
        ActionChains(driver).move_to_element_with_offset(canvas, 0, offset).perform()
        settled(driver, "#readout", words)
    assert driver.execute_script(MIDDLE_GREY, bone) == 255
    choose(driver, "window", "bone, W 1800 L 400")
    assert driver.execute_script(MIDDLE_GREY, bone) == 255
    assert driver.execute_script(MIDDLE_GREY, tissue) == round(255 * (35 + 500) / 1800)


@pytest.mark.parametrize(
    ("organ", "rule", "stage", "expected"),
    [
        ("liver", "Seg-Grad-CAM", "dec1", "status"),
        ("left_kidney", "Grad-PAM", "head", "echo"),
        ("liver", "Grad-PAM", "head", "final"),
        ("liver", "Grad-PAM", "dec2", "phantom"),
        ("liver", "Grad-PAM", "dec2", "one_run"),
    ],
)
def test_cautions_follow_what_is_shown(page, organ, rule, stage, expected):
    to_organ(page, organ)
    choose(page, "rule", rule)
    to_stage(page, stage)
    found = cautions(page)
    assert expected in found
    if expected == "status":
        assert "GAP degenerate" in found["status"]
    else:
        assert found[expected] == CAUTIONS[expected]
        assert "status" not in found
    assert ("final" in found) == (stage == "head")


def test_charts_show_the_records_numbers_and_choose_the_stage(page):
    to_organ(page, "spleen")
    choose(page, "rule", "Grad-PAM")
    settled(page, "#map-words", "spleen")
    gain = epoch(8).measures["gain"]
    titles = page.find_elements("css selector", "#chart-gain title")
    words = [title.get_attribute("textContent") for title in titles]
    at = (RULES.index("grad_pam"), ORGANS.index("spleen"), 2)
    for s, stage in enumerate(STAGES):
        assert words[s].startswith(stage)
        assert f"this slice {float(gain[(s, *at)]):.3f}" in words[s]
    for name in ("gain", "magnitude"):
        assert table()[name].words in text(page, f"#chart-{name}")
    assert not page.find_elements("css selector", "#chart-kappa")  # of rules that average alone
    page.find_elements("css selector", "#chart-gain rect")[0].click()
    settled(page, "#map-words", "at enc1")


def test_one_epoch_has_no_epoch_slider(driver, tmp_path):
    one = epoch(8)
    record = replace(one.record, scene=replace(one.record.scene, truth=None), region="pred")
    write_page(tmp_path / "index.html", [replace(one, record=record)])
    open_page(driver, tmp_path / "index.html")
    assert not find(driver, "#epochs").is_displayed()
    assert "image 1" in text(driver, "#ct-words")
    assert "Dice" not in text(driver, "#ct-words")
    assert not find(driver, "label.truth").is_displayed()
    assert {"no_untrained", "unlabelled"} <= set(cautions(driver))


def routes():
    """One route diagram, for the spleen alone."""
    found = [Branch("skip_1", "enc1", "dec1", 0.9, 0.5, 0.0),
             Branch("up_1", "enc2", "dec1", 0.1, 0.0, 0.0)]  # fmt: skip
    stages = {"enc1": 0.9, "enc2": 0.0, "dec1": 0.9, "head": 0.9}
    network = Diagram("epoch 8", found, stages, 0.9)
    figure, _ = route_figure("spleen", ("enc1", "enc2"), [network])
    return {"spleen": route_entry(figure, "The spleen loses most without skip_1.")}


def test_the_route_of_the_chosen_organ_stands_there_with_its_caution(driver, tmp_path):
    page = Page(about=About(routes=routes()))
    for number in (3, 8):
        page.add(epoch(number))
    page.write(tmp_path / "index.html")
    open_page(driver, tmp_path / "index.html")
    to_organ(driver, "spleen")
    settled(driver, "#route-words", "The spleen loses most without skip_1.")
    picture = find(driver, "#route-picture")
    until(lambda: picture.get_property("naturalWidth") > 1000, 5)
    assert picture.get_attribute("alt").startswith("Route diagram: The spleen")
    assert text(driver, "#route-caution") == CAUTION
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 1280
    press(driver, Keys.ARROW_DOWN)
    settled(driver, "#route-caution", "of the last network that was cut, not of the epoch shown")
    press(driver, Keys.ARROW_UP)
    until(lambda: text(driver, "#route-caution") == CAUTION, 5)
    to_organ(driver, "liver")
    settled(driver, "#map-words", "Evidence for liver")
    assert not find(driver, "#route").is_displayed()


def test_the_region_can_be_what_the_network_got_wrong(driver, tmp_path):
    page = Page()
    for number in (0, 3):
        page.add(epoch(number))
    for kind in ("fp", "fn"):
        page.add_region(wrong(3, kind))
    page.write(tmp_path / "index.html")
    open_page(driver, tmp_path / "index.html")
    to_organ(driver, "liver")
    to_stage(driver, "dec2")
    before = driver.execute_script(MAP)
    choose(driver, "region", "false positives")
    settled(driver, "#what", "explained region: false positives")
    assert driver.execute_script(MAP) != before
    assert "summed over the region: false positives" in text(driver, "#reading")
    gain = wrong(3, "fp").measures["gain"]
    title = driver.find_elements("css selector", "#chart-gain title")[0]
    slice_ = text(driver, "#ct-words").split(",")[1].split()[1]
    n = (18, 31, 7).index(int(slice_))
    shown = f"this slice {float(gain[0, 0, ORGANS.index('liver'), n]):.3f}"
    assert shown in title.get_attribute("textContent")
    press(driver, "f")
    settled(driver, "#what", "false negatives")
    press(driver, Keys.ARROW_DOWN)  # an epoch that was explained for the organ alone
    settled(driver, "#what", "epoch 0, untrained · explained region: ground truth")
    assert not find(driver, "#region").is_displayed()
    press(driver, Keys.ARROW_UP)
    settled(driver, "#what", "false negatives")
    press(driver, "f")
    settled(driver, "#what", "ground truth")
    assert driver.execute_script(MAP) == before
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (None, "Not looked for"),
        ([], "None found."),
        (["liver leaks at dec1"], "liver leaks at dec1"),
    ],
)
def test_the_list_of_events_tells_none_from_not_looked_for(driver, tmp_path, events, words):
    write_page(tmp_path / "index.html", [epoch(8)], About(events=events))
    open_page(driver, tmp_path / "index.html")
    assert text(driver, "#events").startswith(words)


WRITTEN = """
const canvas = document.getElementById("ct"), found = [];
const context = canvas.getContext("2d"), write = context.fillText.bind(context);
context.fillText = (words, x, y) => {
  found.push([words, x / canvas.width, y / canvas.height]);
  write(words, x, y);
};
showPictures();
context.fillText = write;
return found;
"""
"""What is lettered on the CT: words, and where across and down."""


def without_sides(measured):
    scene = replace(measured.record.scene, sides_known=False)
    return replace(measured, record=replace(measured.record, scene=scene))


def test_the_patients_right_is_lettered_at_the_left(page):
    places = {words: (x, y) for words, x, y in page.execute_script(WRITTEN)}
    assert set(places) == {"R", "L", "A", "P", "50 mm"}
    assert places["R"][0] < 0.1
    assert places["L"][0] > 0.9
    assert places["A"][1] < 0.15
    assert places["P"][1] > 0.85
    assert "the patient's right (R) is on the left" in text(page, "#reading")
    assert "slice 31 from caudal" in text(page, "#ct-words")


def test_no_side_is_named_where_none_is_known(driver, tmp_path):
    write_page(tmp_path / "index.html", [without_sides(epoch(8))])
    open_page(driver, tmp_path / "index.html")
    assert [words for words, _, _ in driver.execute_script(WRITTEN)] == ["50 mm"]
    reading = text(driver, "#reading")
    assert "Which side is the patient's right, which way is up" in reading
    assert "Radiological" not in reading
    assert "caudal" not in text(driver, "#ct-words")
    ActionChains(driver).move_to_element(find(driver, "#ct")).perform()
    settled(driver, "#readout", "mm from the left edge")
    assert "mm from the upper edge" in text(driver, "#readout")


def test_of_an_organ_that_is_found_nowhere_no_prediction_is_redrawn(driver, tmp_path):
    write_page(tmp_path / "index.html", [blind(8, "liver")])
    open_page(driver, tmp_path / "index.html")
    to_organ(driver, "liver")
    to_stage(driver, "head")
    assert cautions(driver)["nowhere"] == CAUTIONS["nowhere"]
    assert not {"final", "missed"} & set(cautions(driver))
    to_organ(driver, "spleen")
    settled(driver, "#map-words", "Evidence for spleen")
    assert "final" in cautions(driver)
    assert "nowhere" not in cautions(driver)


def test_without_cuts_there_is_no_section_of_routes(page):
    assert not find(page, "#route").is_displayed()
