"""A flow with named axes holds what the flow holds, in the same memory."""

import sys

import numpy as np
import pytest
import torch

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status

RULES = ("seg_grad_cam", "grad_pam")


def traced(edges=None):
    truth = nets.labels(2, 32)
    organs = targets.organs({"liver": 1, "spleen": 2}, "gt", truth)
    return segtrace.trace(
        nets.flexible_unet(), None, nets.images(2, 32), organs, RULES, edges=edges
    )


def test_every_number_is_found_by_its_names():
    flow = traced()
    found = flow.to_xarray()
    at = {"site": "dec2", "rule": "grad_pam", "organ": "spleen", "slice": 1}
    s = flow.stages.index("dec2")
    assert found["status"].sel(at).item() == flow.status[s, 1, 1, 1]
    assert found["kappa"].sel(site="dec2", organ="spleen", slice=1).item() == flow.kappa[s, 1, 1]
    signed = found["map_dec2"].sel(rule="grad_pam", organ="spleen", slice=1)
    assert signed.dims == ("dec2_row", "dec2_column")
    np.testing.assert_array_equal(signed, flow.maps["dec2"][1, 1, 1].detach())
    assert found["map_dec2"].values.ctypes.data == flow.maps["dec2"].data_ptr()
    assert found["prediction"].dims == ("slice", "row", "column")
    assert found.attrs == {"score": "logit", "activation": "softmax"}
    assert "change" not in found


def test_statuses_say_what_they_mean():
    attributes = traced().to_xarray()["status"].attrs
    words = dict(zip(attributes["flag_values"], attributes["flag_meanings"].split(), strict=True))
    assert words == {int(status): status.label for status in Status}


def test_without_maps_the_numbers_alone_are_there():
    found = traced().to_xarray(maps=False)
    assert set(found) == {
        "kappa", "gradient_l1", "status", "scores", "region_px", "prediction",
    }  # fmt: skip


def test_where_xarray_is_missing_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match=r"^named axes need xarray: pip install xarray$"):
        traced().to_xarray()


def test_an_integrated_flow_has_what_completeness_misses():
    net, x = nets.flexible_unet(), nets.images(1, 32)
    target = targets.organ(1, "all")
    means = {"dec1": torch.zeros(16)}
    flow = segtrace.integrate(net, ["dec1"], x, target, means, 1)
    found = flow.to_xarray()
    assert found["change"].dims == ("site", "organ", "slice")
    np.testing.assert_array_equal(found["completeness_error"], flow.completeness_error)
