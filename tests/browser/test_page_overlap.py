"""The page on organs that may overlap: outlines, sizes and names by bits."""

from dataclasses import replace

import torch

from browser.screenshots import SIZE, open_page, resize
from helpers.pages import epoch
from segtrace.activation import Organ
from segtrace.report.page.page import Page

COUNTS = """
return DATA.channels.map((channel) =>
  [countOf(labelsOf(DATA.truth, 0), channel), countOf(labelsOf(frame().prediction, 0), channel)]);
"""


def overlapping(measured):
    """The same epoch, whose second organ lies over the first as well."""
    record = measured.record
    flow, scene = record.flow, record.scene
    found, there = (
        torch.stack([labels == number for number in scene.channels.values()], 1)
        for labels in (flow.prediction, scene.truth)
    )
    there[:, 1] |= there[:, 0]
    found[:, 2] |= found[:, 1]
    organs = {name: Organ(k, number) for k, (name, number) in enumerate(scene.channels.items())}
    flow = replace(flow, prediction=found, activation="sigmoid")
    record = replace(record, flow=flow, scene=replace(scene, truth=there, channels=organs))
    return replace(measured, record=record)


def test_organs_that_overlap_are_outlined_and_counted_whole(driver, tmp_path):
    page, measured = Page(), overlapping(epoch(8))
    page.add(measured)
    page.write(tmp_path / "index.html")
    resize(driver, *SIZE)
    driver.get_log("browser")
    open_page(driver, tmp_path / "index.html")
    record = measured.record
    expected = [
        [int(record.scene.there(organ)[0].sum()), int(record.found([organ])[0, 0].sum())]
        for organ in record.flow.organs
    ]
    assert driver.execute_script(COUNTS) == expected
    names = [name.replace("_", " ") for name in record.scene.channels]
    said = driver.execute_script("return [0, 1, 3].map(namesOf);")
    assert said == ["none", names[0], f"{names[0]} + {names[1]}"]
    lines = "return outlines(labelsOf(DATA.truth, 0), DATA.channels[0]).length;"
    assert driver.execute_script(lines) > 0
    errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
