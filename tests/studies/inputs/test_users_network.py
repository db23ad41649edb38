"""A network of the user's own for explain.py: what it returns, and what it is made of."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import pytest
import torch

import segtrace
from helpers import nets
from helpers.own_nets import UNet, own
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.attribution import targets
from segtrace.data.preprocessing import Preprocessing
from segtrace.network import logits
from segtrace.network.stages import resolve
from segtrace.network.undisturbed import unwrapped
from segtrace.studies.inputs.users_network import from_user

DATA = SimpleNamespace(
    organs={"liver": 1, "spleen": 2},
    source=SimpleNamespace(numbering={"spleen": 1, "liver": 6}),
    preprocessing=Preprocessing((-125.0, 275.0), 32, {"liver": 1, "spleen": 2}).to_plain(),
)
OPTIONS = dict.fromkeys(("net", "weights", "stages", "edges", "output", "preprocessing"))
OPTIONS |= {"model": {"activation": None, "channels": None}}
MODULE = """
import torch
import segtrace
from helpers import nets

class Net(torch.nn.Module):
    def __init__(self, **others):
        super().__init__()
        self.inner, self.others = nets.plain(), others

    def forward(self, x):
        logits = self.inner(x)
        return {"aux": logits + 1, "out": logits}

class Deep(Net):
    def forward(self, x):
        out = super().forward(x)
        return out | {"aux": out["aux"][..., ::2, ::2]}

def build():
    return Net().float()

def deep():
    return Deep().float()

def parallel():
    return torch.nn.DataParallel(build())

def compiled():
    return torch.compile(build())

def pick(returned):
    return returned["out"]

def wrong(returned):
    return returned["outt"]

nothing = 3

def known():
    return nets.basic_unet(3).float()

def unet():
    from helpers.own_nets import UNet, own
    return own(UNet).float()
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    name = f"my_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({f"inner.{k}": v for k, v in nets.plain().state_dict().items()}, "my.pth")
    return OPTIONS | {"net": f"{name}:build", "weights": "my.pth"}


@pytest.mark.parametrize("output", ["out", "MODULE:pick"])
def test_the_network_returns_what_output_picks_under_the_names_it_had(options, output):
    name = options["net"].split(":")[0]
    trained = from_user(options | {"output": output.replace("MODULE", name)}, DATA)
    x = nets.images(2, 32).float()
    expected = nets.plain().float()
    assert torch.equal(trained.net(x), expected(x))
    assert [path for path, _ in trained.net.named_modules()][1] == "inner"


@pytest.mark.parametrize("wrapper", ["parallel", "compiled"])
def test_inside_a_wrapper_output_is_picked_and_preprocessing_is_made(options, wrapper):
    asked = {"output": "out", "preprocessing": {"mean": 100, "std": 80}}
    name = options["net"].split(":")[0]
    trained = from_user(options | asked | {"net": f"{name}:{wrapper}"}, DATA)
    x = nets.images(2, 32).float()
    expected = nets.plain().float()((x * 400 - 125 - 100) / 80)
    torch.testing.assert_close(unwrapped(trained.net)(x), expected)


def test_an_output_that_is_coarser_than_another_is_said(options):
    logits._say_once.cache_clear()
    said = r"output='aux' picks logits of shape \(\d, 16, 16\).* image's size is output='out'"
    with pytest.warns(UserWarning, match=said):
        from_user(options | {"net": options["net"].replace("build", "deep"), "output": "aux"}, DATA)


def test_an_output_that_leads_nowhere_is_one_line_whose_remedy_works(options):
    name = options["net"].split(":")[0]
    with pytest.raises(InputError, match="returns a dict; say output=") as found:
        from_user(options, DATA)
    typed = str(found.value).split("e.g. output=")[1].split(", or")[0].strip("'")
    from_user(options | {"output": typed}, DATA)
    for output, message in {
        "ou": "no output 'ou'; the dict it picks from has aux, out; did you mean out",
        0: "no output 0; the dict it picks from has aux, out",
        f"{name}:choose": f"no function 'choose'; output={name}:choose: {name} has Net, .*pick",
        f"{name}:wrong": f"output={name}:wrong raised KeyError: 'outt'",
        f"{name}:nothing": "nothing is not callable; name what picks the logits",
        "no_such:pick": "output=no_such:pick: No module named",
    }.items():
        with pytest.raises(InputError, match=message):
            from_user(options | {"output": output}, DATA)


def test_stages_and_edges_are_proposed_where_that_is_asked_for(options, capsys):
    name = options["net"].split(":")[0]
    torch.save(own(UNet).state_dict(), "unet.pth")
    asked = options | {"net": f"{name}:unet", "weights": "unet.pth"}
    trained = from_user(asked | {"stages": "proposed"}, DATA)
    assert trained.stages["dec1"] == {"module": "up1", "layout": "nchw"}
    assert trained.edges["skip_3"]["source"] == "enc1"
    assert "The places of UNet are a proposal: enc1 inc (32x32)" in capsys.readouterr().out
    assert from_user(asked | {"stages": "proposed", "edges": "proposed"}, DATA) == replace(
        trained, net=ANY
    )
    Path("edges.yaml").write_text("mine: {stage: dec1, module: up1, argument: 1}")
    named = from_user(asked | {"stages": "proposed", "edges": "edges.yaml"}, DATA)
    assert list(named.edges) == ["mine"]
    assert named.stages == trained.stages


def test_names_of_stages_are_kept_of_a_network_that_the_table_knows(options):
    name = options["net"].split(":")[0]
    torch.save(nets.basic_unet(3).state_dict(), "known.pth")
    asked = options | {"net": f"{name}:known", "weights": "known.pth"}
    trained = from_user(asked | {"stages": ["enc1", "dec1"]}, DATA)
    assert [stage.name for stage in resolve(trained.net, trained.stages)] == ["enc1", "dec1"]
    with pytest.raises(InputError, match=r"no stage 'enc99'.* this network"):
        from_user(asked | {"stages": ["enc99"]}, DATA)
    with pytest.raises(InputError, match=r"stages=\['enc1'\]: a network of your own needs a YAML"):
        from_user(options | {"stages": ["enc1"]}, DATA)


def test_the_network_is_given_what_it_was_trained_on_and_without_that_its_window_is_said(
    options, capsys
):
    asked = options | {"output": "out"}
    trained = from_user(asked, DATA)
    said = capsys.readouterr().out
    assert said.count("The network sees slices from -125 to 275 HU as 0 to 1, since nothing") == 1
    assert "preprocessing" not in trained.facts
    given = {"mean": 100, "std": 50}
    other = from_user(asked | {"preprocessing": given}, DATA)
    assert "The network sees" not in capsys.readouterr().out
    assert other.facts["preprocessing"] == {"window": [-125.0, 275.0], **given}
    x = nets.images(2, 32).float()
    torch.testing.assert_close(other.net(x), trained.net((x * 400 - 125 - 100) / 50))


def test_channels_may_lie_in_another_order_than_the_datas_organs(options):
    def of(**model):
        return from_user(options | {"output": "out", "model": OPTIONS["model"] | model}, DATA)

    assert of().channels == {"liver": 1, "spleen": 2}
    swapped = of(channels={"spleen": 1, "liver": 2})
    assert swapped.channels == {"spleen": Organ(1, 2), "liver": Organ(2, 1)}
    apart = {"spleen": {"channel": 1, "label": 1}, "liver": {"channel": 2, "label": 6}}
    assert of(channels=apart).channels == swapped.channels
    alone = of(activation="sigmoid", channels={"spleen": 0})
    assert alone.channels == {"spleen": Organ(0, 2)}
    assert alone.settings.activation == "sigmoid"
    x = nets.images(2, 32).float()
    truth = torch.zeros(2, 32, 32, dtype=torch.long)
    truth[:, 4:9, 4:9], truth[:, 12:20, 12:20] = 1, 2
    both = targets.organs(swapped.channels, "gt", truth)
    maps = segtrace.trace(nets.plain().float(), nets.PLAIN_STAGES, x, both).maps
    liver = targets.organs({"liver": 2}, "gt", torch.where(truth == 1, 2, 0))
    expected = segtrace.trace(nets.plain().float(), nets.PLAIN_STAGES, x, liver).maps
    for stage, found in maps.items():
        torch.testing.assert_close(found[:, 1], expected[stage][:, 0])
    for channels, message in (
        ({"livr": 1}, "no organ 'livr'; the data has liver, spleen; did you mean liver"),
        ({"liver": 9}, "model.channels: liver has channel 9; the network has channels 0 to"),
        ({"liver": {"channel": 0, "label": 1}}, "liver has label 1; in the data it has 6: say"),
    ):
        with pytest.raises(InputError, match=message):
            of(channels=channels)


def test_more_organs_than_a_network_has_channels_are_told_before_any_data_is_read(options):
    many = SimpleNamespace(**vars(DATA) | {"organs": {"liver": 1, "spleen": 2, "aorta": 3}})
    with pytest.raises(InputError, match="has 3 organs, and the network 3 channels") as caught:
        from_user(options | {"output": "out"}, many)
    said = str(caught.value)
    assert "'data.organs=[liver]'" in said
    assert "'model.channels={liver: 1}'" in said
    from_user(
        options | {"output": "out", "model": {**OPTIONS["model"], "channels": {"liver": 1}}}, many
    )
