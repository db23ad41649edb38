"""Photograph what a run has to show: TensorBoard's pages and every index.html.

python tests/browser/screenshots.py RUN OUT
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from selenium import webdriver

SIZE = (1280, 900)
FLAGS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)
PAGES = {"timeseries": "#timeseries", "images": "#images", "scalars": "#scalars"}
"""TensorBoard's pages by the name of the photograph."""
DEEP = """
const found = [];
const walk = (root) => {
  for (const node of root.querySelectorAll("*")) {
    if (node.matches(arguments[0])) found.push(node);
    if (node.shadowRoot) walk(node.shadowRoot);
  }
};
walk(document);
"""
"""Finds what matches a selector, inside TensorBoard's components too."""
PICTURES = (
    DEEP
    + "return found.filter((image) => image.complete && image.naturalWidth > 100)"
    + ".map((image) => [image.naturalWidth, image.naturalHeight])"
)
LINES = DEEP + "return found.filter((line) => line.getTotalLength() > 10).length"


def missing() -> str | None:
    """Why no browser can be driven here; None where one can."""
    for program in ("chromium", "chromedriver"):
        if which(program) is None:
            return f"no {program} here; apt-get install chromium chromium-driver"
    return None


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a fresh profile and a window of 1280 x 900."""
    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(which("chromedriver")))
        try:
            resize(driver, *SIZE)
            yield driver
        finally:
            driver.quit()


def resize(driver: webdriver.Chrome, width: int, height: int) -> None:
    """Give the page so much room, whatever the window's frame takes."""
    room = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", room)


def until(holds: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``holds`` returns as soon as it is true.

    Raises:
        TimeoutError: it was not in that time.
    """
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            raise TimeoutError(f"still nothing after {seconds} s")
        time.sleep(0.1)
    return found


@contextmanager
def tensorboard(run: Path) -> Iterator[str]:
    """TensorBoard on a run folder at a free port of this machine; its address."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--port", str(port)]
    command += ["--host", "localhost", "--samples_per_plugin", "images=1000,text=1000"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, **quiet)
    address = f"http://localhost:{port}/"
    try:
        until(lambda: _answers(address), 60)
        yield address
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address + "data/runs", timeout=5) as answer:
            return len(answer.read()) > len("[]\n")
    except URLError:
        return False


def open_board(driver: webdriver.Chrome, address: str, name: str) -> None:
    """Open a page of TensorBoard and wait until something is drawn on it.

    Raises:
        TimeoutError: nothing is.
    """
    driver.get("about:blank")  # another fragment alone would not load the page anew
    driver.get(address + PAGES[name])
    script, selector = (LINES, "path.line") if name == "scalars" else (PICTURES, "img")
    until(lambda: driver.execute_script(script, selector))


def open_page(driver: webdriver.Chrome, path: Path) -> None:
    """Open an ``index.html`` and wait until it has drawn itself."""
    driver.get(path.resolve().as_uri())
    until(lambda: driver.execute_script("return document.body.dataset.ready"))


def main(run: Path, out: Path) -> None:
    """Write ``out/*.png``."""
    out.mkdir(parents=True, exist_ok=True)
    with chromium() as driver:
        with tensorboard(run) as address:
            for name in PAGES:
                open_board(driver, address, name)
                time.sleep(2)  # lines are still being drawn
                driver.save_screenshot(str(out / f"tensorboard_{name}.png"))
        for path in sorted(run.rglob("index.html")):
            open_page(driver, path)
            name = "_".join(("page", *path.relative_to(run).parent.parts))
            driver.save_screenshot(str(out / f"{name}.png"))


if __name__ == "__main__":
    reason = missing()
    if reason or len(sys.argv) != 3:
        sys.exit(reason or __doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
