"""What a file may be refused for, and that nothing in it is ever run."""

import os
import pickle
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from segtrace import InputError
from segtrace.checkpoint.loading import (
    build,
    describe,
    fill,
    load,
    named,
    read,
    recorded,
)
from segtrace.checkpoint.own_network import fitted
from segtrace.data.probes import Probes
from segtrace.studies.inputs.named_paths import paths_of
from segtrace.studies.inputs.trained_network import from_checkpoint


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["SEGTRACE_TEST_TARGET"],)


def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path, monkeypatch):
    target = tmp_path / "was_run"
    monkeypatch.setenv("SEGTRACE_TEST_TARGET", str(target))
    torch.save({"state_dict": Malicious()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil.ckpt is refused: .*holds code"):
        read(tmp_path / "evil.ckpt")
    assert not target.exists()
    with (tmp_path / "evil.pkl").open("wb") as file:
        pickle.dump(Malicious(), file, protocol=2)
    with pytest.raises(InputError, match=r"evil.pkl"):
        read(tmp_path / "evil.pkl")
    assert not target.exists()


def test_damaged_foreign_and_missing_files_are_named(run, tmp_path):
    whole = run.checkpoint(1).read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "text.ckpt").write_text("hello")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    for name, message in {
        "half.ckpt": "half.ckpt",
        "empty.ckpt": "empty.ckpt",
        "text.ckpt": "text.ckpt",
        "none.ckpt": "none.ckpt does not exist",
        "foreign.ckpt": "no checkpoint of train.py.*net=module:builder",
        "tensor.ckpt": "holds a Tensor; a dict",
        "": "is a folder",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_users_configuration_names_any_class_of_networks_and_nothing_else():
    with pytest.raises(InputError, match=r"'os\.system' is no network"):
        build({"_target_": "os.system", "command": "true"})
    with pytest.raises(InputError, match=r"cannot import 'no.such.Net'"):
        build({"_target_": "no.such.Net"})
    nested = {"_target_": "torch.nn.ReLU", "inplace": [{"_target_": "os.getcwd"}]}
    with pytest.raises(InputError, match="must be plain values"):
        build(nested)
    with pytest.raises(InputError, match=r"torch.nn.Conv2d: .*in_channels"):
        build({"_target_": "torch.nn.Conv2d"})
    with pytest.raises(InputError, match=r"'_args_' is no argument; give them by name"):
        build({"_target_": "torch.nn.ReLU", "_args_": [True]})
    assert build({"_target_": "torch.nn.ReLU", "inplace": True, "_convert_": "all"}).inplace


def changed(run, folder, **parts):
    """A copy of a checkpoint whose description differs."""
    saved = torch.load(run.checkpoint(1), weights_only=True)
    saved["segtrace"] |= parts
    torch.save(saved, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_a_checkpoint_names_its_network_by_a_key_and_plain_arguments(run):
    described = torch.load(run.checkpoint(1), weights_only=True)["segtrace"]
    assert described["format"] == 2
    assert described["network"] == {
        "_network_": "BasicUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 5,
        "features": [8, 8, 16, 16, 32, 8], "norm": "batch", "dropout": 0.1,
    }  # fmt: skip


def test_a_checkpoint_of_the_format_before_gives_the_same_network(run, tmp_path):
    network = describe(run.checkpoint(1))["network"]
    before = {name: value for name, value in network.items() if name != "_network_"}
    before["_target_"] = "monai.networks.nets.BasicUNet"
    saved = torch.load(run.checkpoint(1), weights_only=True)
    saved["segtrace"]["network"] = before
    del saved["segtrace"]["format"]
    torch.save(saved, tmp_path / "old.ckpt")
    now, then = load(str(run.checkpoint(1))), load(tmp_path / "old.ckpt")
    assert str(now.net) == str(then.net)
    assert then.description["network"] == network
    assert (now.notes, then.notes) == ((), ())


HOSTILE = [
    {"_target_": "os.mkdir", "path": "ran"},
    {"_target_": "monai.networks.nets.BasicUNet", "act": "${oc.create:{_target_: os.mkdir, "
     "_args_: [ran]}}"},
    {"_network_": "BasicUNet", "act": "${oc.create:{_target_: os.mkdir, _args_: [ran]}}"},
    {"_network_": "BasicUNet", "act": ["relu", {"inplace": "${oc.env:HOME}"}]},
    {"_network_": "BasicUNet", "_target_": "os.mkdir"},
    {"_network_": "evil_module.Net"},
    {"_class_": "evil_module.Net"},
    {"_class_": "evil_module.Net", "_network_": "evil_module:Net"},
    {"_target_": "evil_module.Net"},
    {"_network_": "FlexibleUNet", "in_channels": 1, "out_channels": 5, "backbone": "evil_module"},
    {"_network_": "BasicUNet", "features": [10**9] * 6},
    {"_network_": "BasicUNet", "features": [65536] * 6},
    {},
]  # fmt: skip


@pytest.mark.parametrize("network", HOSTILE, ids=str)
def test_nothing_that_a_checkpoint_names_is_run_resolved_or_imported(
    run, tmp_path, monkeypatch, network
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_module.py").write_text("import pathlib\npathlib.Path('ran').mkdir()\n")
    path = changed(run, tmp_path, network=network)
    modules = set(sys.modules)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "ran").exists()
    assert "evil_module" not in sys.modules
    assert not [name for name in set(sys.modules) - modules if not name.startswith("monai")]


def test_what_else_a_checkpoint_says_is_neither_resolved(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = "${oc.create:{_target_: os.mkdir, _args_: [ran]}}"
    organs = dict(zip([call, "b", "c", "d"], range(1, 5), strict=True))
    path = changed(run, tmp_path, organs=organs, source={"name": call})
    trained = from_checkpoint(path)
    assert next(iter(trained.channels)) == call
    assert trained.facts["data"] == {"name": call}
    for key in ("rules", "region", "score", "measures"):
        explain = {"rules": ["grad_pam"]} | {key: [call] if key == "rules" else call}
        odd = changed(run, tmp_path, explain=explain)
        with pytest.raises(InputError) as caught:
            from_checkpoint(odd)
        assert str(odd) in str(caught.value)
        assert call in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_rule_of_the_users_own_is_for_him_to_name_again(run, tmp_path):
    path = changed(run, tmp_path, explain={"rules": ["grad_pam", "mine"], "region": "gt"})
    with pytest.raises(InputError, match=r"was explained by 'mine', .* name it again, 'rules="):
        from_checkpoint(path)
    assert from_checkpoint(path, rules=["grad_pam"]).settings.rule_names == ("grad_pam",)


def test_a_class_outside_the_table_is_for_the_user_to_name(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package.py").write_text(
        "from monai.networks.nets import BasicUNet\nclass MyNet(BasicUNet): pass\n"
        "def build(**_): raise AssertionError\n"
    )
    given = dict(describe(run.checkpoint(1))["network"])
    del given["_network_"]
    path = changed(run, tmp_path, network={"_class_": "my_package.MyNet", **given})
    with pytest.raises(InputError, match=r"MyNet', which is none of the known ones") as caught:
        load(path)
    command = f"explain.py checkpoint={path} net=my_package:MyNet"
    assert str(caught.value).endswith(command)
    net = command.split("net=")[1]
    found = load(path, net).net
    assert type(found).__name__ == "MyNet"
    assert torch.equal(found.final_conv.weight, load(run.checkpoint(1)).net.final_conv.weight)
    with pytest.raises(InputError, match="my_package:build is no class of networks"):
        load(path, "my_package:build")
    odd = changed(run, tmp_path, network={"_class_": "my_package.MyNet", **given, "colour": 1})
    with pytest.raises(InputError, match=r"MyNet: .*unexpected keyword argument 'colour'"):
        load(odd, net)
    nested = changed(run, tmp_path, network={"_class_": "x.Y", "a": {"_target_": "os.getcwd"}})
    with pytest.raises(InputError, match="the arguments must be plain values"):
        load(nested, net)


@pytest.mark.parametrize("name", ["", "x; rm -rf", "a\x1b[31m.B", "os", "a..b", "a b.c"])
def test_only_the_path_of_a_class_is_proposed_to_be_typed(run, tmp_path, name):
    path = changed(run, tmp_path, network={"_class_": name})
    with pytest.raises(InputError, match=r"net=my_package:MyNet$") as caught:
        load(path)
    assert str(caught.value).isprintable()


def test_the_words_that_explain_a_checkpoint_name_its_class_where_that_is_needed():
    assert named("a.ckpt", {"_network_": "BasicUNet"}) == "checkpoint=a.ckpt"
    assert (
        named("a.ckpt", {"_class_": "my.package.MyNet"}) == "checkpoint=a.ckpt net=my.package:MyNet"
    )


def test_what_a_configuration_builds_is_recorded_so_that_a_file_may_ask_for_it():
    recipe = {"_target_": "segtrace.models.flexible_unet.FlexibleUNet", "in_channels": 1,
              "out_channels": 2, "backbone": "resnet10", "spatial_dims": 2}  # fmt: skip
    known = {"_network_": "FlexibleUNet", **recipe, "pretrained": False}
    del known["_target_"]
    net = build(recipe)
    assert recorded(recipe, net) == known
    assert recorded(recipe | {"pretrained": True}, net) == known  # its weights fill it anyway
    theirs = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1}
    assert recorded(theirs, build(theirs)) == {
        "_class_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 1,
    }  # fmt: skip
    more = recipe | {"act": "geglu"}  # more than a file may ask for
    assert recorded(more, net)["_class_"] == recipe["_target_"]


def test_weights_that_hold_no_numbers_are_refused(run, tmp_path):
    for odd in (torch.zeros(1).expand(5), torch.zeros(5, device="meta"), torch.ones(5).to_sparse()):
        saved = torch.load(run.checkpoint(1), weights_only=True)
        saved["state_dict"]["net.final_conv.bias"] = odd
        torch.save(saved, tmp_path / "odd.ckpt")
        with pytest.raises(InputError, match=r"final_conv.bias is not stored value by value"):
            load(tmp_path / "odd.ckpt")
    weights = {"weight": torch.zeros(3, 2), "bias": torch.zeros(3, dtype=torch.complex64)}
    with pytest.raises(InputError, match=r"1 not of plain numbers \(bias\)"):
        fill(nn.Linear(2, 3), weights, "w.pth")


def test_a_checkpoint_that_lost_a_part_or_is_of_another_time_says_so(run, tmp_path):
    saved = torch.load(run.checkpoint(1), weights_only=True)
    torch.save({"segtrace": saved["segtrace"]}, tmp_path / "bare.ckpt")
    with pytest.raises(InputError, match="holds no weights"):
        load(tmp_path / "bare.ckpt")
    with pytest.raises(InputError, match=r"has format 99, written by segtrace \d"):
        load(changed(run, tmp_path, format=99))
    trained = from_checkpoint(changed(run, tmp_path, version="9.9", colour="red"))
    assert trained.notes == (
        "holds what this segtrace does not know and leaves out: colour (written by segtrace 9.9)",
    )
    assert trained.facts["notes"] == list(trained.notes)


def test_a_checkpoint_without_checksums_is_read_and_it_says_so(run, tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = changed(run, tmp_path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert load(path).notes == ("has no checksums, so damage to the file would not be noticed",)
    assert load(run.checkpoint(1)).notes == ()


def test_one_flipped_bit_in_a_weight_is_noticed(run, tmp_path):
    weight = load(run.checkpoint(1)).net.final_conv.weight.detach().numpy().tobytes()
    content = bytearray(run.checkpoint(1).read_bytes())
    content[content.index(weight[:16]) + 3] ^= 1
    (tmp_path / "flipped.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"flipped.ckpt is damaged \(Bad CRC-32"):
        from_checkpoint(tmp_path / "flipped.ckpt")


def test_weights_that_do_not_fit_are_counted_and_named(tmp_path):
    net = nn.Linear(2, 3)
    wrong = {"weight": torch.zeros(3, 4), "scale": torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        fill(net, wrong, tmp_path / "w.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'} does not fit Linear: 1 missing (bias); 1 unexpected (scale); "
        "1 of another shape (weight); 0 of 2 fit: build the network as it was trained"
    )
    with pytest.raises(InputError, match=r"1 missing \(bias\); 1 of 2 fit: build the network"):
        fill(net, {"weight": torch.zeros(3, 2)}, tmp_path / "w.pth")


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "model.backbone.", "module._orig_mod."])
def test_the_prefix_of_a_wrapper_is_taken_off(prefix):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    saved = {prefix + name: value for name, value in net.state_dict().items()}
    if prefix:
        saved["loss.weight"] = torch.ones(2)  # belongs to the wrapper, not to the network
    for container in (saved, {"state_dict": saved}, {"model_state_dict": saved, "epoch": 3}):
        assert fitted(container, net).keys() == net.state_dict().keys()


def test_a_missing_weight_is_not_hidden_by_a_prefix():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    saved = {"net." + name: value for name, value in net.state_dict().items()}
    del saved["net.1.weight"]
    with pytest.raises(InputError, match=r"1 missing \(1.weight\)"):
        fill(net, fitted(saved, net), "w.pth")


def test_a_checkpoint_brings_its_layout(run):
    trained = from_checkpoint(run.checkpoint(2))
    assert trained.epoch == 2
    assert not trained.net.training
    weights = [
        p for p in trained.net.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1
    ]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_the_process_keeps_its_threads_and_the_manifest_says_where_they_differ(run, tmp_path):
    here = torch.get_num_threads()
    described = torch.load(run.checkpoint(1), weights_only=True)["segtrace"]["environment"]
    same = from_checkpoint(changed(run, tmp_path, environment=described))
    assert same.notes == ()
    assert same.facts["repeats_the_callback"].startswith("to the last bit")
    path = changed(run, tmp_path, environment=described | {"threads": 64})
    other = from_checkpoint(path)
    assert torch.get_num_threads() == here
    (note,) = other.notes
    assert note == (
        "the last bits of maps may differ from those of the training: other threads "
        f"({here} here, 64 there)"
    )
    assert f"other threads ({here} here, 64 there)" in other.facts["repeats_the_callback"]


def test_slices_that_the_network_does_not_take_are_one_line(run, tmp_path):
    probes = Probes.from_plain(describe(run.checkpoint(1))["probes"])
    two = replace(probes, images=torch.zeros(3, 2, 64, 64))
    trained = from_checkpoint(changed(run, tmp_path, probes=two.to_plain()))
    with pytest.raises(
        InputError, match=r"does not take slices \(2, 64, 64\).*; give the data set"
    ):
        trained.slices(None, 8, "val")


def test_a_glob_a_list_and_a_name_with_brackets_find_their_files(tmp_path):
    for name in ("a_1.ckpt", "a_2.ckpt", "b[1].ckpt"):
        (tmp_path / name).touch()
    assert [p.name for p in paths_of(f"{tmp_path}/a_*.ckpt")] == ["a_1.ckpt", "a_2.ckpt"]
    assert [p.name for p in paths_of([f"{tmp_path}/a_2.ckpt", f"{tmp_path}/a_*.ckpt"])] == [
        "a_2.ckpt",
        "a_1.ckpt",
    ]
    assert [p.name for p in paths_of(f"{tmp_path}/b[1].ckpt")] == ["b[1].ckpt"]
    with pytest.raises(InputError, match=r"c_\*.ckpt: no such file"):
        paths_of(f"{tmp_path}/c_*.ckpt")
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match=r"checkpoint names .*/x/\.\./a_1.ckpt twice; name each"):
        paths_of([f"{tmp_path}/a_1.ckpt", f"{tmp_path}/x/../a_1.ckpt"])
