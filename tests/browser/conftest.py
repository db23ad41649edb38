from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from browser.screenshots import chromium, missing


@pytest.fixture(scope="session")
def driver() -> Iterator[Chrome]:
    """A headless Chromium for all tests that look at a screen."""
    if reason := missing():
        pytest.skip(reason)
    with chromium() as driver:
        yield driver
