"""What a hand does on the page, and what an eye reads there."""

from selenium.webdriver.support.select import Select

from browser.screenshots import until
from helpers.pages import ORGANS


def find(page, selector):
    return page.find_element("css selector", selector)


def text(page, selector):
    return find(page, selector).text


def cautions(page):
    items = page.find_elements("css selector", "#cautions li")
    return {item.get_attribute("data-caution"): item.text for item in items}


def choose(page, name, words):
    Select(find(page, f"#{name}")).select_by_visible_text(words)


def to_organ(page, organ):
    find(page, f'[data-organ="{ORGANS.index(organ)}"]').click()


def settled(page, selector, words):
    until(lambda: words in text(page, selector), 5)


def press(page, *keys):
    for key in keys:
        find(page, "body").send_keys(key)


def to_stage(page, stage):
    find(page, f'#strip [title="stage {stage}"]').click()
    settled(page, "#map-words", f"at {stage}")
