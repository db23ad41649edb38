"""What a checkpoint may say of itself, today's format and those before and after it."""

import math
from pathlib import Path

import pytest
import torch

from segtrace import InputError
from segtrace.checkpoint.description import FORMAT, understood
from segtrace.checkpoint.description_keys import WINDOWS
from segtrace.data.views.windowing import NORMALISATIONS

PATH = Path("x.ckpt")


def probes(n=2, side=8, **other):
    return {
        "cases": ["a"] * n,
        "slices": list(range(n)),
        "spacing": torch.ones(n, 2).double(),
        "split": "val",
        "phantom": False,
        "hash": "0",
        "images": torch.zeros(n, 1, side, side),
        "labels": torch.zeros(n, side, side, dtype=torch.uint8),
        "originals": [torch.zeros(5, 5, dtype=torch.int16)] * n,
    } | other


def test_a_description_of_today_is_understood_whole():
    told = {
        "format": FORMAT,
        "network": {"_network_": "BasicUNet", "features": [1, 2]},
        "stages": {"enc1": {"module": "conv_0", "layout": "tokens(2, 3)"}, "head": "final_conv"},
        "edges": {"skip_1": {"stage": "dec1", "module": "up", "argument": 1, "joined": None}},
        "organs": {"liver": 1},
        "split": {"train": ["0005"], "val": []},
        "probes": probes(),
        "dice": {"mean": math.nan, "liver": 1},
        "epoch": 3,
        "cut_every": None,
        "baselines": {"count": 2, "channels": {"a": torch.ones(2)}, "spread": {}, "maps": {}},
    }
    found = understood(told, PATH)
    assert found.unknown == ()
    assert found["network"] == told["network"]
    assert found["stages"] == told["stages"]
    assert torch.equal(found["probes"]["images"], told["probes"]["images"])


def test_a_class_path_of_the_format_before_becomes_a_key_of_the_table():
    for path in ("monai.networks.nets.BasicUNet", "monai.networks.nets.basic_unet.BasicUnet"):
        found = understood({"network": {"_target_": path, "features": [1]}}, PATH)
        assert found["network"] == {"_network_": "BasicUNet", "features": [1]}
    found = understood(
        {"network": {"_target_": "segtrace.models.flexible_unet.FlexibleUNet"}}, PATH
    )
    assert found["network"] == {"_network_": "FlexibleUNet"}
    found = understood({"network": {"_target_": "os.system", "command": "x"}}, PATH)
    assert found["network"] == {"_class_": "os.system", "command": "x"}


def test_a_newer_format_is_refused_and_names_what_wrote_it():
    with pytest.raises(InputError, match=r"x.ckpt has format 9, written by segtrace 7.1; .*update"):
        understood({"format": 9, "version": "7.1", "epoch": {"of": "another kind"}}, PATH)


def test_keys_of_a_newer_version_are_left_out_and_listed():
    told = {
        "epoch": 1,
        "colour": "red",
        "explain": {"rules": ["grad_pam"], "zoom": 2},
        "stages": {"enc1": {"module": "a", "grid": 7}, "head": "b"},
        "edges": {"skip_1": {"stage": "dec1", "module": "up", "weight": 0.5}},
    }
    found = understood(told, PATH)
    assert set(found.unknown) == {"colour", "explain.zoom", "stages.enc1.grid",
                                  "edges.skip_1.weight"}  # fmt: skip
    assert found["explain"] == {"rules": ["grad_pam"]}
    assert found["stages"] == {"enc1": {"module": "a"}, "head": "b"}
    assert "colour" not in found


def test_a_key_that_is_lacking_is_named_when_it_is_asked_for():
    found = understood({"epoch": 1, "probes": {"hash": "0"}, "source": {"settings": {}}}, PATH)
    for ask, message in {
        lambda: found["organs"]: "x.ckpt lacks 'organs', which this segtrace needs",
        lambda: found["probes"]["cases"]: "x.ckpt: probes lacks 'cases'",
        lambda: found["source"]["settings"]["generator"]: "x.ckpt: source: settings lacks 'gener",
    }.items():
        with pytest.raises(InputError, match=message):
            ask()
    assert found.get("organs") is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"epoch": -1}, "epoch is -1: .*greater than or equal to 0"),
        ({"epoch": True}, "epoch is True: .*integer"),
        ({"epoch": "3"}, "epoch is '3': .*integer"),
        ({"format": "new"}, "format is 'new'"),
        ({"organs": {}}, "organs: .*at least 1"),
        ({"organs": {"liver": "1"}}, "organs.liver is '1'"),
        ({"organs": {"x" * 256: 1}}, "organs.*at most 255"),
        ({"organs": {f"o{i}": i for i in range(255)}}, "organs: .*at most 254"),
        ({"stages": {"enc1": {"module": 3}}}, "stages.enc1.module is 3"),
        ({"stages": {"enc1": {"module": "a", "layout": "tokens(999999, 1)"}}}, "enc1.layout"),
        ({"edges": {"s": {"stage": "a", "module": "b", "joined": "xor"}}}, "edges.s.joined"),
        ({"network": None}, "network is None"),
        ({"network": {"act": torch.ones(1)}}, "network: text and numbers are needed"),
        ({"source": {"settings": {"a": torch.ones(1)}}}, "source.settings: text and numbers"),
        ({"preprocessing": {"size": 10**9}}, "preprocessing.size is 1000000000"),
        ({"preprocessing": {"window": [0.0]}}, "preprocessing.window: .*at least 2"),
        ({"preprocessing": {"window": [0.0, math.inf]}}, "window.1 is inf"),
        ({"preprocessing": {"window": "any"}}, "preprocessing.window is 'any'"),
        ({"preprocessing": {"window": ["zscore", [1.0]]}}, "preprocessing.window: .*at least 2"),
        ({"preprocessing": {"window": ["zscore"] * 65}}, "preprocessing.window: .*at most 2"),
        ({"preprocessing": {"channels": 0}}, "preprocessing.channels is 0"),
        ({"explain": {"rules": "grad_pam"}}, "explain.rules is 'grad_pam'"),
        ({"explain": {"measures": "some"}}, "explain.measures is 'some'"),
        ({"memory_format": "nhwc"}, "memory_format is 'nhwc'"),
        ({"environment": {"threads": 0}}, "environment.threads is 0"),
        ({"cut_every": 0}, "cut_every is 0"),
        ({"cases": {"a": {"voxel_ml": 1.0}}}, "cases.a.truth_ml: .*required"),
        ({"split": {"train": [5]}}, "split.train.0 is 5"),
        ({"found": {"a": {"liver": {"dice": 1.0}}}}, "found.a.liver.voxels: .*required"),
        ({"dice": {"liver": "high"}}, "dice.liver is 'high'"),
        ({"baselines": {"count": 1, "channels": {}, "spread": {}, "maps": {}}}, "count is 1"),
        (
            {
                "baselines": {
                    "count": 2,
                    "channels": {"a": torch.ones(())},
                    "spread": {},
                    "maps": {},
                }
            },
            "baselines.channels.a: a tensor of 0 dimensions",
        ),
        ({"probes": probes(cases=["a"])}, "probes: 1 cases, 2 slices.* are no slices"),
        ({"probes": probes(images=torch.zeros(2, 8, 8))}, "probes.images: a tensor of 3 dimensi"),
        (
            {"probes": probes(images=torch.zeros(2, 1, 8, 8).double())},
            "images: .*float64; 4 or 5 of",
        ),
        ({"probes": probes(images=torch.zeros(2, 1, 0, 8))}, r"probes.images: slices of \(0, 8\)"),
        ({"probes": probes(labels=torch.zeros(2, 4, 4, dtype=torch.uint8))}, "probes: labels"),
        ({"probes": probes(spacing=torch.ones(2, 3).double())}, "spacing: two sizes in mm"),
        ({"probes": probes(spacing=torch.zeros(2, 2).double())}, "spacing: two sizes in mm"),
        ({"probes": probes(phantom="no")}, "probes.phantom is 'no'"),
        ({"probes": probes(slices=[0, -1])}, "probes.slices.1 is -1"),
        (
            {"probes": probes(), "preprocessing": {"size": 4096}},
            r"description: images of \(8, 8\), made to be of \(4096, 4096\)",
        ),
        (
            {"probes": probes(side=4096), "organs": {f"o{i}": i for i in range(254)}},
            "description: maps of 2 slices and 254 organs: too many",
        ),
        # A key that is not known hides nothing that lies beside it.
        ({"probes": probes(cases=["a"], colour="red"), "x": 1}, "probes: 1 cases, 2 slices"),
        ([1], "describes itself by a list"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_place(told, message):
    with pytest.raises(InputError, match=rf"^x\.ckpt: .*{message}") as caught:
        understood(told, PATH)
    assert len(str(caught.value)) < 400


def test_pixel_sizes_that_are_not_known_are_allowed():
    unknown = torch.full((2, 2), math.nan).double()
    found = understood({"probes": probes(spacing=unknown)}, PATH)
    assert found["probes"]["spacing"].isnan().all()


@pytest.mark.parametrize("window", [*NORMALISATIONS, [[0.0, 1.0], "zscore"]])
def test_a_window_may_be_named(window):
    assert NORMALISATIONS == WINDOWS
    told = {"format": FORMAT, "preprocessing": {"window": window}}
    assert understood(told, "x.ckpt")["preprocessing"] == {"window": window}
