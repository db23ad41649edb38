"""What a network of a file's numbers may take: weights as the file warrants, passes as there is."""

import pytest
from monai.networks.nets import BasicUNet

from segtrace.errors import InputError
from segtrace.models import limits
from segtrace.models.limits import check_pass


def test_a_pass_that_takes_more_than_is_free_is_refused_and_both_are_named(monkeypatch):
    net = BasicUNet(2, 1, 2, (32, 32, 32, 32, 32, 32)).eval()
    check_pass(net, (1, 1, 64, 64), "a.ckpt")
    with pytest.raises(InputError) as caught:
        check_pass(net, (64, 1, 4096, 4096), "a.ckpt")
    said = str(caught.value)
    assert "a.ckpt: a pass of its 64 slices of 1 x 4096 x 4096 takes about" in said
    assert "GiB are free" in said
    monkeypatch.setattr(limits, "free_memory", lambda: None)
    check_pass(net, (64, 1, 4096, 4096), "a.ckpt")
