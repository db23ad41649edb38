"""The example of cutting in Python (docs/explain.md) is typed here, on a small network."""

import re
from pathlib import Path

import segtrace
from helpers import nets

PAGE = Path(__file__).parents[1] / "docs" / "explain.md"


def test_what_is_said_of_cutting_in_python_works_as_it_stands(capsys):
    blocks = re.findall(r"```(?:python)?\n(.*?)```", PAGE.read_text(), re.DOTALL)
    at = next(i for i, block in enumerate(blocks) if "segtrace.necessity(" in block)
    net, images, truth = nets.flexible_unet(), nets.images(3, 32), nets.labels(3, 32, 4)
    given = {"segtrace": segtrace, "net": net, "images": images, "training_slices": images}
    exec(blocks[at], given | {"truth": truth})
    printed = eval(capsys.readouterr().out)
    assert list(printed) == list(eval(blocks[at + 1]))  # the edges of the network shown there
    sites, organ = segtrace.sites_of(net), {"left_kidney": 3}
    shares = segtrace.route(net, images, truth, organ, segtrace.collect(net, sites, [images]))
    assert shares.summary["share"].sizes == {"edge": 9, "organ": 1}
    assert segtrace.necessity(net, sites, images, truth, organ, cut="zero").data.sizes["site"] == 20
