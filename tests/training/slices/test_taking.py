"""A network of the user's own that explain.py cannot explain: one line, and a way out."""

import pytest
import torch
from torch import nn

from helpers.scripts import answer_of, tiny_data
from segtrace import InputError
from segtrace.training.slices.taking import check_own_network

BUILDERS = """
import torch
from torch import nn

def three():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 1))

def volumes():
    return nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 5, 1))

class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 1))

    def forward(self, x):
        return self.net(x).detach()
"""


def small(channels=1, conv=nn.Conv2d):
    return nn.Sequential(conv(channels, 4, 3, padding=1), nn.ReLU(), conv(4, 3, 1))


def raising(words):
    raise RuntimeError(words)


class Changed(nn.Module):
    """A small network, and what becomes of its logits."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = small(), change

    def forward(self, x):
        return self.change(self.net(x))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (small(3), "it takes 3 channels, and a CT slice has 1; if it was"),
        (small(4), "say 'preprocessing={channels: repeat}'"),
        (small(conv=nn.Conv3d), "it takes volumes; say in which windows and mm"),
        (Changed(torch.Tensor.detach), "no gradient leads from its logits into it"),
        (Changed(lambda logits: logits.data + 1), "no gradient leads from its logits into it"),
        (Changed(lambda logits: torch.from_numpy(logits.detach().numpy())), "no gradient leads"),
        (Changed(lambda logits: (logits, logits + 1)), "returns a tuple"),
        (Changed(lambda logits: logits.sum((2, 3))), "the logits have shape (1, 3)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), "it does not take a slice (1, 1, 8, 8)"),
        (
            Changed(lambda logits: logits.nosuch),
            "net=my:build: its forward raised AttributeError: ",
        ),
        (Changed(lambda _: raising("no licence")), "forward raised RuntimeError: no licence"),
    ],
)
def test_it_is_named_before_any_data_are_prepared(net, words):
    with pytest.raises(InputError) as caught:
        check_own_network("my:build", net, torch.zeros(1, 1, 8, 8))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_fits_passes_and_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        check_own_network("my:build", net.train(), torch.zeros(1, 1, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_explain_answers_in_one_line_and_what_it_says_works(tiny_raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stages.yaml").write_text("enc1: '0'\nhead: '2'\n")
    (tmp_path / "wrapped.yaml").write_text("enc1: net.0\nhead: net.2\n")

    def explain(module, builder, stages="stages.yaml", *more):
        import importlib

        net = getattr(importlib.import_module(module), builder)()
        torch.save(net.state_dict(), tmp_path / "w.pth")
        data = [option for option in tiny_data(tiny_raw) if option.startswith("data")]
        return answer_of(
            "explain.py", f"net={module}:{builder}", "weights=w.pth", f"stages={stages}", *data,
            "probes.n=1", "rules=grad_pam", "failures=false", "data.cache_dir=cache",
            f"hydra.run.dir={builder}", *more,
        )  # fmt: skip

    (tmp_path / "their_nets.py").write_text(BUILDERS)
    lines = {}
    for builder, stages in (("three", "stages.yaml"), ("volumes", "stages.yaml"),
                            ("Detached", "wrapped.yaml")):  # fmt: skip
        ran = explain("their_nets", builder, stages)
        assert ran.code == 1
        (lines[builder],) = ran.err.strip().splitlines()
        assert f"net=their_nets:{builder}: " in lines[builder]
    assert "it takes volumes; say" in lines["volumes"]
    assert "detaches" in lines["Detached"]
    remedy = lines["three"].rpartition("say ")[2].strip("'")
    ran = explain("their_nets", "three", "stages.yaml", remedy)
    assert ran.code == 0, ran.err
    assert (tmp_path / "three" / "maps.npz").is_file()


@pytest.mark.parametrize(
    ("size", "fitting"),
    [(40, "data.size a multiple of 32, e.g. data.size=32"), (64, "data.size the one it was train")],
)
def test_a_size_that_it_was_not_built_for_is_told_with_another(size, fitting):
    of_a_size = nn.Sequential(nn.Flatten(), nn.Linear(7, 2))
    with pytest.raises(InputError, match=f"it does not take a slice .* and {fitting}"):
        check_own_network("my:build", of_a_size, torch.zeros(1, 1, size, size))
