"""Cuts from checkpoints: what the callback wrote, once more; and one network on its own."""

import re
import shutil
from dataclasses import replace

import pytest
import torch

from helpers.pages import read_page
from helpers.scripts import run_script
from segtrace import InputError
from segtrace.names import file_name
from segtrace.report.tables import read_table
from segtrace.studies.cut_networks import Ablated, cut_trained
from segtrace.studies.inputs.trained_network import from_checkpoint

TABLES = ("necessity.csv", "necessity_slices.csv", "route.csv")
TOLD = re.compile("Seen on 1 case, no claim: the |No cut of a stage or edge costs the liver Dice")
ORGANS = ("spleen", "left_kidney", "liver", "stomach")


def explain(cwd, *overrides):
    ran = run_script("explain.py", *overrides, "hydra.run.dir=out", cwd=cwd)
    assert ran.code == 0, ran.err[-3000:]
    return ran, cwd / "out"


@pytest.fixture(scope="module")
def told(run, tmp_path_factory):
    """explain.py over all checkpoints of the run, without another word."""
    folder = tmp_path_factory.mktemp("told")
    return explain(folder, f"checkpoint='{run.folder}/checkpoints/epoch_*.ckpt'", "log_dir=logs")[1]


def test_a_training_is_cut_again_as_the_callback_did_to_the_last_digit(run, told):
    flow = run.folder / "flow"
    for name in TABLES:
        assert (told / name).read_text() == (flow / name).read_text(), name
    pictures = [*flow.glob("epoch_*/necessity.png"), *flow.glob("epoch_*/route/*"),
                *flow.glob("timeline/necessity/*.png")]  # fmt: skip
    assert len(pictures) == 2 + (len(ORGANS) + 1) + len(ORGANS)  # epochs 0 and 2; a route of 2
    for path in pictures:
        assert (told / path.relative_to(flow)).read_bytes() == path.read_bytes(), path


def test_the_summary_of_the_training_says_what_organs_lose_most_by(run):
    assert "cut, channel_mean: in its place each channel's mean over training slices" in run.ran.out
    assert TOLD.search(run.ran.out)
    assert "This is what the network relies on" in run.ran.out


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory):
    """study=ablation on one checkpoint in the folder of its run."""
    return explain(
        tmp_path_factory.mktemp("alone"), f"checkpoint={run.checkpoint(2)}", "study=ablation"
    )


def test_the_page_tells_what_each_organ_needs(alone):
    page = (alone[1] / "index.html").read_text()
    assert "<h2>What each organ needs, epoch 2</h2>" in page
    assert set(read_page(alone[1] / "index.html")["routes"]) == set(ORGANS)


def test_one_network_leaves_tables_figures_and_a_summary(run, alone):
    ran, out = alone
    rows = read_table(out / "necessity.csv")
    then = [r for r in read_table(run.folder / "flow" / "necessity.csv") if r["epoch"] == "2"]
    assert rows == then  # the untrained network's losses beside each too
    figures = {path.name for path in (out / "figures").iterdir() if path.suffix == ".pdf"}
    assert figures == {"necessity.pdf", *(f"route_{organ}.pdf" for organ in ORGANS)}
    caption = (out / "figures" / "caption.txt").read_text()
    assert re.search(f"route_liver: ({TOLD.pattern})", caption)
    assert re.search(r"mean over (the )?\d organs?( found)?, Dice", caption)
    assert TOLD.search(ran.out)


def test_without_the_untrained_network_it_says_so(run, tmp_path):
    copy = shutil.copy(run.checkpoint(2), tmp_path / "copied.ckpt")
    ran, out = explain(tmp_path, f"checkpoint={copy}", "cut=zero", "organs=[liver]")
    assert "No untrained network to stand beside it" in ran.out
    rows = read_table(out / "necessity.csv")
    assert {row["cut"] for row in rows} == {"zero"}
    assert {row["organ"] for row in rows} == {"liver"}
    assert {row["dice_lost_untrained"] for row in rows} == {"nan"}


def test_without_cut_nothing_is_cut(run, tmp_path):
    _, out = explain(tmp_path, f"checkpoint={run.checkpoint(2)}", "rules=[grad_pam]")
    assert not list(out.rglob("necessity*"))


def older(path, folder):
    """A checkpoint of the days before baselines."""
    saved = torch.load(path, weights_only=True)
    for key in ("baselines", "edges", "cut_every"):
        del saved["segtrace"][key]
    torch.save(saved, folder / "older.ckpt")
    return folder / "older.ckpt"


def test_an_older_checkpoint_loads_and_says_what_to_give(run, tmp_path):
    trained = from_checkpoint(older(run.checkpoint(2), tmp_path))
    probes = trained.slices(None, 3, "val")
    with pytest.raises(InputError, match=r"older holds no baselines; give data=… data.root=…"):
        cut_trained(trained, probes, "channel_mean", None)
    with pytest.raises(InputError, match=r"older holds no mean maps; give data=…"):
        cut_trained(trained, probes, "mean_map", None)


def test_zero_needs_no_baselines_but_finds_no_route(run, tmp_path, capsys):
    trained = from_checkpoint(older(run.checkpoint(2), tmp_path))
    cuts = cut_trained(trained, trained.slices(None, 3, "val"), "zero", None)
    assert cuts.route is None
    assert "skip_1" in cuts.necessity.data["site"]  # of the table of known networks
    assert "holds no baselines, so no route is found" in capsys.readouterr().out


class Sample:
    """The one thing that is asked of the data."""

    def sample(self, n):
        return torch.rand(6, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cut", ["channel_mean", "mean_map"])
def test_with_data_baselines_are_collected_over_its_training_slices(run, tmp_path, cut):
    trained = from_checkpoint(older(run.checkpoint(2), tmp_path))
    cuts = cut_trained(trained, trained.slices(None, 3, "val"), cut, Sample())
    assert cuts.necessity.data.attrs["cut"] == cut
    assert cuts.route is not None


def test_slices_without_any_organ_are_refused(run):
    trained = from_checkpoint(run.checkpoint(2))
    probes = trained.slices(None, 3, "val")
    probes.labels.zero_()
    with pytest.raises(InputError, match=r"none of the organs .*spleen.* is on these slices"):
        cut_trained(trained, probes, "zero", None)


def test_tables_and_figures_of_a_cut_lie_in_its_folder_whatever_the_organ_is_called(run, tmp_path):
    trained = from_checkpoint(run.checkpoint(2))
    odd = replace(trained, channels={"../../Liver": trained.channels["liver"]})
    cuts = cut_trained(odd, odd.slices(None, 3, "val"), "channel_mean", None)
    Ablated(cuts, None).write(tmp_path / "deep" / "out")
    figures = {path.name for path in (tmp_path / "deep" / "out" / "figures").iterdir()}
    assert f"route_{file_name('../../Liver')}.pdf" in figures
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert {row["organ"] for row in read_table(tmp_path / "deep/out/route.csv")} == {"../../Liver"}
