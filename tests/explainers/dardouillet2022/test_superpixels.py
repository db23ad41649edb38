"""Superpixels: squares, parts of one brightness, organs."""

import sys

import pytest
import torch

from segtrace import InputError
from segtrace.explainers.dardouillet2022.superpixels import check_kind, superpixels

NONE = torch.zeros(0, 2, 8, 8, dtype=torch.bool)
X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_squares():
    found = superpixels("grid", X, 2, NONE)
    assert found.shape == (2, 8, 8)
    assert found[0, :4, :4].unique().tolist() == [0]
    assert found[1].unique(return_counts=True)[1].tolist() == [16] * 4


def test_an_organ_is_one_and_of_two_at_a_pixel_the_first():
    masks = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, 1:4, 1:4] = True
    masks[1, 0, 3:6, 3:6] = True
    found = superpixels("organs", X, 2, masks)
    assert torch.equal(found[0] == 0, masks[0, 0])
    assert torch.equal(found[0] == 1, masks[1, 0] & ~masks[0, 0])
    assert found[1].unique().tolist() == [2, 3, 4, 5]


def test_parts_of_one_brightness_follow_an_edge():
    pytest.importorskip("skimage", reason="the extra explain")
    x = torch.zeros(1, 1, 24, 24)
    x[0, 0, :, 10:] = 1
    found = superpixels("slic", x, 3, NONE[:, :1])[0]
    for part in found.unique():
        assert len(x[0, 0][found == part].unique()) == 1


def test_without_scikit_image_one_line_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match="superpixels=slic needs scikit-image: pip install"):
        check_kind("slic")
    with pytest.raises(InputError, match=r"no superpixels 'slik'; .* did you mean slic"):
        check_kind("slik")
