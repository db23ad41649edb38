"""The data of a trial are prepared as the network needs them, which a checkpoint says in values."""

from types import SimpleNamespace

import pytest

from segtrace import InputError
from segtrace.data.preprocessing import Preprocessing
from segtrace.training.trial_request import _spread

ORGANS = {"liver": 1, "spleen": 2}


def asked(root, split, cache):
    data = {
        "_target_": "segtrace.data.modules.SynapseData",
        "root": str(root),
        "split": split,
        "cache_dir": str(cache),
        "size": 32,
    }
    return SimpleNamespace(config={"data": data, "probes": {"n": 1, "from": "val"}})


def needing(organs, size=64):
    return SimpleNamespace(preprocessing=Preprocessing((-125.0, 275.0), size, organs))


def test_slices_are_prepared_as_the_network_needs_them(tiny_raw, tiny_split, tmp_path):
    probes = _spread(asked(tiny_raw, tiny_split, tmp_path), needing(ORGANS))
    assert probes.images.shape == (1, 1, 64, 64)
    assert probes.cases == ("0027",)


def test_an_organ_out_of_a_checkpoint_is_a_name_and_nothing_to_resolve(
    tiny_raw, tiny_split, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    call = "${oc.create:{_target_: os.mkdir, _args_: [ran]}}"
    with pytest.raises(InputError, match=r"no organ '\$\{oc.create:.*this data set has spleen"):
        _spread(asked(tiny_raw, tiny_split, tmp_path), needing({call: 1}))
    assert not (tmp_path / "ran").exists()
