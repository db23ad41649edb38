"""Wheel, drag, two maps, links and pictures to keep; one page for all tests, reset between them."""

import re
from base64 import b64decode
from dataclasses import replace

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

from browser.acting import cautions, choose, find, press, settled, text, to_organ, to_stage
from browser.screenshots import SIZE, open_page, resize, until
from helpers.pages import ORGANS, STAGES, epoch, wrong
from helpers.written import write_page
from segtrace.report.page.likeness import likeness
from segtrace.report.page.page import About, Page

NEWEST = 8
OPENED = """
const { shown, shownBeside, ct, ...chosen } = state;
window.opened = structuredClone(chosen);
"""
"""What the page opens with, kept in it."""

RESET = """
history.replaceState(null, "", location.pathname);
Object.assign(state, structuredClone(window.opened));
Object.assign($("truth"), { checked: true });
Object.assign($("prediction"), { checked: true });
$("opacity").value = 70;
document.activeElement.blur();
scrollTo(0, 0);
return show().then(() => 1);
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    page = Page(about=About({"checkpoint": "epoch_008.ckpt", "sha256": "0123abcd"}))
    for number in (0, 3, NEWEST):
        page.add(epoch(number))
    for kind in ("fp", "fn"):
        page.add_region(wrong(3, kind))
    page.write(path)
    return path


@pytest.fixture
def page(driver, path):
    if not driver.execute_script("return window.opened"):
        opened(driver, path)
    ActionChains(driver).move_to_element(find(driver, "h1")).perform()
    driver.execute_script(RESET)
    yield driver
    assert [one for one in driver.get_log("browser") if one["level"] == "SEVERE"] == []


def opened(driver, path):
    resize(driver, *SIZE)
    driver.get_log("browser")  # of the pages before
    open_page(driver, path)
    driver.execute_script(OPENED)


def state(page, name):
    return page.execute_script(f"return state.{name}")


def shot(page, canvas):
    return page.execute_script(f"return document.getElementById('{canvas}').toDataURL()")


def wheel(page, selector, by, *, ctrl=False, times=1):
    acts = ActionChains(page)
    if ctrl:
        acts = acts.key_down(Keys.CONTROL)
    for _ in range(times):
        acts = acts.scroll_from_origin(ScrollOrigin.from_element(find(page, selector)), 0, by)
    (acts.key_up(Keys.CONTROL) if ctrl else acts).perform()


def drag(page, selector, across, down, *, shift=False, release=True):
    acts = ActionChains(page).move_to_element(find(page, selector))
    if shift:
        acts = acts.key_down(Keys.SHIFT)
    acts = acts.click_and_hold().move_by_offset(across, down)
    if release:
        acts = acts.release()
    (acts.key_up(Keys.SHIFT) if shift else acts).perform()


def test_the_wheel_over_a_picture_pages_through_slices_and_stops_at_the_ends(page):
    to_organ(page, "liver")
    page.execute_script("[state.slice] = slicesOf(state.organ); return show();")
    slices = page.execute_script("return slicesOf(state.organ)")
    for n in (*slices[1:], slices[-1]):
        wheel(page, "#map", 120)
        until(lambda n=n: state(page, "slice") == n, 5)
    wheel(page, "#ct", -120)
    until(lambda: state(page, "slice") == slices[-2], 5)
    assert page.execute_script("return scrollY") == 0


def test_small_turns_of_a_touch_pad_add_up(page):
    to_organ(page, "liver")
    first = state(page, "slice")
    wheel(page, "#ct", 20)
    assert state(page, "slice") == first
    wheel(page, "#ct", 20, times=2)
    until(lambda: state(page, "slice") != first, 5)


def test_elsewhere_the_wheel_scrolls_the_page(page):
    before = state(page, "slice")
    wheel(page, "#reading", 200)
    until(lambda: page.execute_script("return scrollY") > 0, 5)
    assert state(page, "slice") == before


def millimetres(page):
    """Of the place under the cursor, as the read-out says them."""
    return [float(number) for number in re.findall(r"([\d.]+) mm", text(page, "#readout"))]


def test_ctrl_and_wheel_zoom_at_the_cursor_and_keys_zoom_too(page):
    before, whole = shot(page, "ct"), state(page, "view")
    wheel(page, "#ct", -250, ctrl=True)
    closer = state(page, "view")
    assert closer["width"] == pytest.approx(whole["width"] / 2.718, rel=0.01)
    middle = closer["x"] + closer["width"] / 2  # the cursor is in the middle
    assert middle == pytest.approx(whole["width"] / 2, abs=1)
    assert shot(page, "ct") != before
    assert page.execute_script("return devicePixelRatio") == 1
    press(page, "-", "-", "-", "-", "-")
    assert state(page, "view")["width"] == whole["width"]
    press(page, "+")
    assert state(page, "view")["width"] == pytest.approx(whole["width"] / 1.25)
    press(page, "0")
    assert shot(page, "ct") == before


def test_the_place_under_the_cursor_stays_there_when_the_picture_comes_closer(page):
    canvas = find(page, "#ct")
    ActionChains(page).move_to_element_with_offset(canvas, 90, 60).perform()
    settled(page, "#readout", "mm from")
    before = millimetres(page)
    press(page, "+", "+")
    assert millimetres(page) == pytest.approx(before, abs=0.11)
    drag(page, "#map", 30, 0, shift=True)
    assert state(page, "window") == [-125, 275]  # the closer view was moved, and nothing else
    assert millimetres(page) != pytest.approx(before, abs=0.11)
    press(page, "0")
    whole = text(page, "#readout")
    ActionChains(page).move_by_offset(1, 0).move_by_offset(-1, 0).perform()
    assert text(page, "#readout") == whole  # it was the place that now lies under the cursor


def test_dragging_changes_the_window_and_says_it_in_hu_while_it_does(page):
    before = shot(page, "ct")
    drag(page, "#ct", -100, 0, release=False)
    assert text(page, "#readout") == "Window -25 to 175 HU (W 200, L 75)"
    assert shot(page, "ct") != before
    ActionChains(page).move_by_offset(0, -25).release().perform()
    assert state(page, "window") == [25, 225]  # up: a higher centre
    settled(page, "#window-words", "CT, window 25 to 225 HU (W 200, L 125)")
    chosen = page.execute_script("return $('window').selectedOptions[0].textContent")
    assert chosen == "dragged, 25 to 225 HU (W 200, L 125)"
    drag(page, "#ct", 400, 0)
    assert state(page, "window") == [-125, 275]  # there is nothing beyond the network's input
    drag(page, "#ct", -100, 0)
    ActionChains(page).double_click(find(page, "#map")).perform()
    until(lambda: state(page, "window") == [-125, 275], 5)
    assert shot(page, "ct") == before


def test_a_drag_whose_release_was_missed_ends_with_the_next_move(page):
    drag(page, "#ct", -100, 0, release=False)
    chosen = state(page, "window")
    for x in (10, 300):
        page.execute_script(
            "$('ct').dispatchEvent(new PointerEvent('pointermove', {clientX: arguments[0]}))", x
        )
    ActionChains(page).release().perform()
    assert state(page, "window") == chosen


def test_values_that_are_no_hu_are_dragged_as_grey_levels(driver, tmp_path):
    one = epoch(NEWEST)
    place = replace(one.record.scene, hounsfield_known=False)
    write_page(tmp_path / "index.html", [replace(one, record=replace(one.record, scene=place))])
    open_page(driver, tmp_path / "index.html")
    drag(driver, "#ct", -100, 0, release=False)
    assert text(driver, "#readout") == "Window grey levels 0.25 to 0.75"
    ActionChains(driver).release().perform()
    ActionChains(driver).move_to_element(find(driver, "#ct")).perform()
    settled(driver, "#readout", "grey level 0.40")
    assert "HU" not in text(driver, "body").replace("that its values are HU", "")


def test_what_lies_below_the_threshold_is_not_painted_and_the_bar_shows_the_cut(page):
    to_organ(page, "liver")
    to_stage(page, "enc1")
    painted = """
        const grey = document.createElement("canvas"), map = mapIn(shown());
        [grey.width, grey.height] = [WIDTH, HEIGHT];
        const pixels = (overlay) => { paint(grey, state.ct, WHOLE, state.window, overlay);
          return grey.getContext("2d").getImageData(0, 0, WIDTH, HEIGHT).data; };
        const bare = pixels(null).slice(), over = pixels({ map, opacity: 1, share: 1,
          cut: 2.55 * state.threshold });
        const levels = sampled(map, WHOLE, HEIGHT, WIDTH);
        const same = (i) => [0, 1, 2].every((c) => bare[4 * i + c] === over[4 * i + c]);
        const hidden = (level) => level < 2.55 * state.threshold;
        return [...levels].every((level, i) => level < 6 || same(i) === hidden(level));
    """
    before = shot(page, "map")
    page.execute_script(
        "$('threshold').value = 60; $('threshold').dispatchEvent(new Event('input'))"
    )
    settled(page, "#map-bar", "not painted below")
    assert "60 % of this map's maximum" in text(page, "#map-bar")
    assert text(page, "#threshold-words") == "60 %"
    assert shot(page, "map") != before
    assert page.execute_script(painted)
    bar = (
        "const drawn = $('map-bar').querySelector('canvas').getContext('2d');"
        "return [...drawn.getImageData(arguments[0], 5, 1, 1).data]"
    )
    assert page.execute_script(bar, 140)[:3] == [0, 0, 0]
    assert page.execute_script(bar, 153)[:3] == [255, 255, 255]  # the cut
    assert sum(page.execute_script(bar, 200)[:3]) > 100
    peak = float(epoch(NEWEST).measures["max"][0, 0, ORGANS.index("liver"), state(page, "slice")])
    assert f"{peak:.1e}"[:3] in text(page, "#map-bar")
    choose(page, "scale", "all stages' maximum")
    settled(page, "#map-bar", "largest of all stages (of this map")


def test_a_second_map_stands_beside_the_first_on_the_same_slice(page):
    to_organ(page, "liver")
    to_stage(page, "dec2")
    press(page, "c")
    settled(page, "#beside-words", "at dec2, Seg-Grad-CAM, epoch 0, untrained")
    assert not find(page, "#ct-figure").is_displayed()
    choose(page, "stage2", "head")
    choose(page, "epoch2", "epoch 3")
    choose(page, "rule2", "Grad-PAM")
    settled(page, "#beside-words", "Evidence for liver at head, Grad-PAM, epoch 3")
    n = state(page, "slice")
    gain = float(epoch(3).measures["gain"][3, 1, ORGANS.index("liver"), n])
    assert f"gain {gain:.2f}" in text(page, "#beside-words")
    settled(page, "#map-words", "at dec2, Seg-Grad-CAM, epoch 8")
    choose(page, "scale", "both maps' maximum")
    tops = [text(page, f"#{name}-bar").split("0 ", 1)[-1].split(",")[0].split()[-1]
            for name in ("map", "beside")]  # fmt: skip
    assert tops[0] == tops[1]
    ActionChains(page).move_to_element(find(page, "#beside")).perform()
    settled(page, "#readout", "right: ")
    assert "left: " in text(page, "#readout")
    assert cautions(page)["final"].startswith("Right map: ")
    assert "Grad-PAM" in text(page, "#reading")
    assert "Seg-Grad-CAM" in text(page, "#reading")
    to_organ(page, "spleen")
    settled(page, "#beside-words", "Evidence for spleen")
    press(page, "c")
    settled(page, "#window-words", "CT, window")
    assert not find(page, "#beside-figure").is_displayed()
    assert state(page, "scale") == "own"


def test_both_maps_show_the_same_part(page):
    to_organ(page, "liver")
    to_stage(page, "dec2")
    press(page, "c")
    choose(page, "epoch2", "epoch 8")
    assert shot(page, "map") == shot(page, "beside")
    wheel(page, "#beside", -200, ctrl=True)
    assert shot(page, "map") == shot(page, "beside")
    drag(page, "#beside", -60, 10)
    assert shot(page, "map") == shot(page, "beside")


SHOWN = ["#headline", "#instep", "#ct-words", "#map-words", "#map-bar", "#cautions", "#charts",
         "#reading", "#beside-words", "#beside-bar"]  # fmt: skip


def everything(page):
    return {name: text(page, name) for name in SHOWN} | {
        name: shot(page, name) for name in ("map", "beside")
    } | {"controls": page.execute_script(
        "return [...document.querySelectorAll('#controls select, #controls input')]"
        ".map((one) => one.type === 'checkbox' ? one.checked : one.value)")}  # fmt: skip


def test_a_link_opens_what_its_sender_saw(page, path):
    to_organ(page, "liver")
    choose(page, "rule", "Grad-PAM")
    choose(page, "region", "false positives")
    to_stage(page, "dec2")
    wheel(page, "#map", -150, ctrl=True)
    drag(page, "#map", -40, 10)
    press(page, "c")
    choose(page, "stage2", "enc1")
    choose(page, "scale", "both maps' maximum")
    press(page, "t")
    page.execute_script(
        "$('threshold').value = 30; $('threshold').dispatchEvent(new Event('input'))"
    )
    settled(page, "#map-bar", "30 %")
    find(page, "#link").click()
    until(lambda: "ink" in text(page, "#done"), 5)
    link = page.execute_script("return location.href.split('#')[0] + linked()")
    until(lambda: page.current_url == link, 5)  # the address keeps it, too
    ActionChains(page).move_to_element(find(page, "h1")).perform()
    before = everything(page)
    page.get("about:blank")
    page.get(link)
    until(lambda: page.execute_script("return document.body.dataset.ready"), 5)
    assert everything(page) == before


FOREIGN = (
    "#", "#section-2", "#organ=<img src=x onerror=alert(1)>", "#organ=__proto__&stage=constructor",
    "#organ=liver&stage=<b>&rule=constructor&epoch=-1&case=0027&slice=999&window=5_5&cut=99",
    "#organ=liver&window=1e999_NaN&view=9_9_1e9&stage2=dec1&rule2=x&epoch2=3&scale=both",
    "#organ=liver&view=-5_-5_0&overlay=1000&lines=9&region=all%20of%20it", "#%E0%A4%A&organ=%",
)  # fmt: skip


def test_a_foreign_address_changes_nothing_and_is_never_written(page):
    to_organ(page, "liver")
    settled(page, "#map-words", "liver")
    before = everything(page)
    for foreign in FOREIGN:
        page.execute_async_script("""
            addEventListener("hashchange", () => setTimeout(arguments[1], 30), { once: true });
            location.hash = arguments[0];
        """, foreign + "&" * (foreign == "#"))  # fmt: skip
        assert everything(page) == before
    assert "onerror" not in page.page_source.split("<script")[0]


def test_what_is_shown_is_saved_with_the_words_it_must_not_be_without(page, tmp_path):
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    to_organ(page, "liver")
    to_stage(page, "head")
    written = page.execute_script("""
        const draw = CanvasRenderingContext2D.prototype.fillText, found = [];
        CanvasRenderingContext2D.prototype.fillText = function (...all) {
          found.push(all[0]);
          draw.apply(this, all);
        };
        const whole = composed();
        CanvasRenderingContext2D.prototype.fillText = draw;
        return [found.join(" "), whole.width, whole.height];
    """)
    told, width, height = written
    for words in ("liver", "at head, Seg-Grad-CAM, epoch 8", "on this slice gain", "slice 31",
                  "this map's maximum", "PHANTOM, no patient", "research use only",
                  "window -125 to 275 HU", "checkpoint epoch_008.ckpt", "sha256 0123abcd",
                  "Final stage"):  # fmt: skip
        assert words in told
    find(page, "#save").click()
    name = "segtrace_liver_head_seg_grad_cam_epoch_8_0027_slice_31.png"
    until(lambda: (tmp_path / name).exists(), 5)
    until(lambda: (tmp_path / name).stat().st_size > 1000, 5)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert [int.from_bytes(data[at : at + 4]) for at in (16, 20)] == [width, height]
    page.execute_script("DATA.cases[0] = '../../<a b>:meier\\\\x'")
    made = page.execute_script("state.slice = 0; return pictureName()")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+\.png", made)
    assert "/" not in made
    page.execute_script("DATA.cases[0] = '0027'")
    assert b64decode(page.execute_script("return composed().toDataURL()").split(",")[1])


def test_nothing_that_is_read_goes_stale(page):
    """After every change each text and picture is that of a page opened there."""
    ActionChains(page).move_to_element_with_offset(find(page, "#map"), 20, -40).perform()
    settled(page, "#readout", "HU")
    stale = """
        const told = "#what, #network, #rate, #headline, #instep, #readout, #cautions, #reading,"
          + "#charts, #ct-words, output, figcaption";
        const seen = () => [...document.querySelectorAll(told)]
          .filter((one) => one.id !== "done").map((one) => one.textContent)
          .concat([...document.querySelectorAll("canvas")].map((one) => one.ariaLabel));
        const steps = arguments[0].split(" "), done = arguments[1];
        (async () => {
          const wrong = [];
          for (const key of steps) {
            KEYS[key]();
            await show();
            const now = seen();
            const chosen = structuredClone((({ shown, shownBeside, ct, ...rest }) => rest)(state));
            state.stage = (state.stage + 1) % DATA.stages.length;  // away, and back
            state.organ = (state.organ + 1) % ORGANS;
            state.rule = 1 - state.rule;
            await show();
            Object.assign(state, chosen);
            await show();
            const again = seen();
            if (String(now) !== String(again)) wrong.push(key);
          }
          done(wrong);
        })();
    """
    assert page.execute_async_script(stale, "ArrowRight o ] ArrowDown r c o ] ArrowUp f f r") == []


def test_the_read_out_under_a_resting_cursor_follows_what_is_shown(page):
    to_organ(page, "liver")
    to_stage(page, "enc1")
    press(page, Keys.ARROW_DOWN)
    settled(page, "#map-words", "epoch 3")
    ActionChains(page).move_to_element_with_offset(find(page, "#map"), -97, -11).perform()
    settled(page, "#readout", "evidence")
    for key in ("]", "o", "r", Keys.ARROW_DOWN, Keys.ARROW_RIGHT, "c"):
        before = text(page, "#readout")
        press(page, key)
        until(lambda before=before: text(page, "#readout") != before, 5)


def test_menus_show_all_of_every_option(page):
    press(page, "c")
    short = page.execute_script("""
        const measure = document.createElement("canvas").getContext("2d"), cut = [];
        for (const select of document.querySelectorAll("#controls select")) {
          if (!select.clientWidth) continue;
          const style = getComputedStyle(select);
          measure.font = `${style.fontSize} ${style.fontFamily}`;
          for (const option of select.options) {
            const room = select.clientWidth - 20; // of the arrow
            if (measure.measureText(option.textContent).width > room) {
              cut.push([select.id, option.textContent]);
            }
          }
          if (select.getBoundingClientRect().right > innerWidth) cut.push([select.id, "edge"]);
        }
        return cut;
    """)
    assert short == []
    assert page.execute_script("return document.documentElement.scrollWidth") <= SIZE[0]


def test_every_picture_has_a_role_a_name_and_words_that_follow_it(page):
    to_organ(page, "liver")
    to_stage(page, "dec2")
    names = (
        "return [...document.querySelectorAll('canvas')]"
        ".map((one) => [one.getAttribute('role'), one.ariaLabel, one.textContent])"
    )
    found = page.execute_script(names)
    visible = [one for one in found if one[1]]
    assert len(visible) >= 3 + len(STAGES)  # CT, map, its bar, and the strip
    assert all(role == "img" and name == words for role, name, words in visible)
    label = page.execute_script("return $('map').ariaLabel")
    assert label == text(page, "#map-words")
    choose(page, "rule", "Grad-PAM")
    settled(page, "#map-words", "Grad-PAM")
    assert page.execute_script("return $('map').ariaLabel") == text(page, "#map-words")
    assert page.execute_script(names) != found


def test_no_letter_is_smaller_than_12_pixels_at_1280(page):
    small = page.execute_script("""
        const small = [];
        for (const node of document.querySelectorAll("body *")) {
          const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
          if (!own || !node.getClientRects().length) continue;
          const svg = node.ownerSVGElement;
          const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
          const size = parseFloat(getComputedStyle(node).fontSize) * scale;
          if (size < 11.95) small.push([node.tagName, node.textContent.slice(0, 20), size]);
        }
        return small;
    """)
    assert small == []
    overlap = page.execute_script("""
        const boxes = [...document.querySelectorAll("#chart-gain text[text-anchor=middle]")]
          .map((one) => one.getBoundingClientRect());
        return boxes.slice(1).some((box, i) => box.left < boxes[i].right);
    """)
    assert not overlap


def test_a_menu_keeps_its_own_keys_and_gives_them_back_after_a_click(page):
    organ = state(page, "organ")
    find(page, "#scale").send_keys("o")
    assert state(page, "organ") == organ
    page.execute_script("""
        $("rule").focus();
        $("rule").dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
        $("rule").value = 1;
        $("rule").dispatchEvent(new Event("change", { bubbles: true }));
    """)
    assert page.execute_script("return document.activeElement.id") == ""
    assert state(page, "rule") == 1


def test_it_opens_with_the_stage_of_the_headline_and_follows_it_until_one_is_picked(path, driver):
    open_page(driver, path)
    for organ in ("liver", "spleen"):
        to_organ(driver, organ)
        settled(driver, "#map-words", organ)
        words = text(driver, "#headline")
        stage = driver.execute_script("return DATA.stages[state.stage]")
        assert f"at {stage} (gain" in words
        assert stage not in {"dec2", "head"}  # the prediction redrawn
        assert "◆" in text(driver, f'#strip [title="stage {stage}"]')
    to_stage(driver, "head")
    to_organ(driver, "left_kidney")
    settled(driver, "#map-words", "left kidney at head")


def test_the_headline_is_held_against_the_slice_that_is_shown(page):
    to_organ(page, "spleen")
    choose(page, "slice", "0027, slice 18 · organ not here")
    settled(page, "#instep", "not one of those the sentence speaks of, spleen is not on it")
    assert "strong" in find(page, "#instep").get_attribute("class")
    to_organ(page, "liver")
    settled(page, "#instep", "slice 31: Dice 1.00 on it; gain")
    assert find(page, "#instep").get_attribute("class") == ""
    page.execute_script("""
        const [stage] = named(), f = FRAMES[state.frame];
        window.gain = f.numbers.gain.slice();
        f.numbers.gain[at4(stage, state.rule, state.organ, state.slice)] = -0.2;
        return show();
    """)
    settled(page, "#instep", "gain -0.20 at")
    assert "this slice does not show what the sentence says of" in text(page, "#instep")
    assert find(page, "#instep").get_attribute("class") == "strong"
    page.execute_script("""
        const f = FRAMES[state.frame], at = at2(state.organ, state.slice);
        f.numbers.gain.set(window.gain);
        f.dice[at] = 0.3;
        return show().then(() => { f.dice[at] = 1; });
    """)
    settled(page, "#instep", "slice 31: Dice 0.30 on it, here hardly found; gain")
    assert find(page, "#instep").get_attribute("class") == "strong"


def test_of_an_averaging_rule_the_caution_prints_this_maps_own_correlation(page):
    to_organ(page, "liver")
    to_stage(page, "enc1")
    choose(page, "region", "false positives")
    settled(page, "#what", "false positives")
    against = "the sentences speak of the ground truth, shown are the false positives; Dice"
    assert against in text(page, "#instep")
    assert "gain" not in text(page, "#instep")
    n, liver = state(page, "slice"), ORGANS.index("liver")
    r = likeness(wrong(3, "fp").record.flow, epoch(NEWEST).record.flow)
    words = f"correlate at r {r[0, 0, liver, n]:.2f}."
    assert words in cautions(page)["averaged"]
    to_stage(page, "dec1")
    settled(page, "#cautions", "one of the two cannot be read")
    choose(page, "rule", "Grad-PAM")
    settled(page, "#map-words", "Grad-PAM")
    assert "averaged" not in cautions(page)


@pytest.mark.parametrize("width", [390, 800])
def test_on_narrow_screens_nothing_runs_out_of_the_page(page, width):
    press(page, "c")
    resize(page, width, 900)
    wide = "return document.documentElement."
    try:
        until(lambda: page.execute_script(f"{wide}clientWidth") <= width, 5)
        assert page.execute_script(f"{wide}scrollWidth") <= width
    finally:
        resize(page, *SIZE)
