"""The promises that only the two scripts together can keep or break."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import list_session_groups
from tensorboard.plugins.hparams.api_pb2 import ListSessionGroupsRequest
from tensorboard.plugins.hparams.backend_context import Context as HParams
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from helpers.pages import read_page
from helpers.saving import pixels
from helpers.scripts import SMALL_NET, run_script, tiny_data
from helpers.tags import expected_tags
from segtrace.checkpoint.description import understood
from segtrace.data.probes import Probes
from segtrace.report.figures.drawing import as_picture
from segtrace.report.figures.paper import paper_figure
from segtrace.report.files import load_maps
from segtrace.report.page.whole_cases import NAMES
from segtrace.report.pictures.mosaic import flow_picture
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import LEARNING_RATE_TAG
from segtrace.studies.inputs.trained_network import from_checkpoint

ORGANS = ["spleen", "left_kidney", "liver", "stomach"]
STAGES = ["enc1", "enc2", "enc3", "enc4", "enc5", "dec1", "dec2", "dec3", "dec4", "head"]
RULES = ("seg_grad_cam", "grad_pam")
HPARAMS = ("experiment", "session_start_info", "session_end_info")


def test_a_training_repeats_no_advice_of_lightnings(run):
    for words in ("Tip:", "GPU available", "Loading `", "stopped: `max_epochs"):
        assert words not in run.ran.out + run.ran.err


def test_epochs_leave_exactly_the_promised_checkpoints(run):
    found = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    assert found == ["epoch_000.ckpt", "epoch_001.ckpt", "epoch_002.ckpt", "last.ckpt",
                     "previous.ckpt"]  # fmt: skip


def test_the_run_folder_holds_what_the_readme_says(run):
    found = {path.name for path in run.folder.iterdir()}
    assert found == {"checkpoints", "tensorboard", "flow", "config.yaml", "dice.csv",
                     "dice_test.csv", "test"}  # fmt: skip


def test_validation_and_test_have_a_table_each(run):
    cases = [{row["case"] for row in read_table(run.folder / f"{name}.csv")}
             for name in ("dice", "dice_test", "test/evaluation")]  # fmt: skip
    assert cases == [{"0027"}, {"0001"}, {"0001"}]
    summary = {row["organ"]: row for row in read_table(run.folder / "test" / "summary.csv")}
    assert [*summary] == [*ORGANS, "mean"]
    assert f"  mean         {float(summary['mean']['dice_mean']):.3f}" in run.ran.out
    for name in ("index.html", "published.csv", "predictions/0001/prediction.nii.gz"):
        assert (run.folder / "test" / name).is_file()


def test_the_summary_names_the_run_its_dice_and_the_next_commands(run):
    assert "left_kidney" in run.ran.out
    assert "mean" in run.ran.out
    assert f"make tensorboard RUN={run.folder}" in run.ran.out
    assert f"python explain.py checkpoint={run.checkpoint(2)}" in run.ran.out
    assert "checkpoints take about" in run.ran.out


@pytest.mark.parametrize("name", ["epoch_000", "epoch_002", "last"])
def test_a_checkpoint_holds_plain_values_and_describes_itself(run, name):
    saved = torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    description = saved["segtrace"]
    assert description["epoch"] == (0 if name == "epoch_000" else 2)
    assert list(description["stages"]) == STAGES
    assert description["organs"] == {organ: i + 1 for i, organ in enumerate(ORGANS)}
    assert description["network"]["out_channels"] == 5
    assert len(description["probes"]["images"]) == 3
    assert ("optimizer_states" in saved) == (name == "last")


def test_a_checkpoint_knows_the_whole_cases_that_its_slices_are_of(run):
    trained = from_checkpoint(run.checkpoint(2))
    whole = {name: trained.whole.table(name, ORGANS, ["0027"])[:, 0] for name in NAMES}
    assert set(trained.probes["cases"]) == {"0027"}
    assert trained.split == {"train": ["0005", "0006"], "val": ["0027"], "test": ["0001"]}
    assert (whole["truth_ml"] > 0).all()
    # With one validation case its Dice is the mean over cases.
    expected = [trained.dice[organ] for organ in ORGANS]
    np.testing.assert_allclose(whole["dice"], expected, rtol=1e-6)
    overlap = 2 * np.minimum(whole["truth_ml"], whole["found_ml"])
    assert (whole["dice"] <= overlap / (whole["truth_ml"] + whole["found_ml"]) + 1e-6).all()


def test_a_checkpoint_of_before_whole_cases_still_loads(run, tmp_path):
    saved = torch.load(run.checkpoint(1), weights_only=True)
    for key in ("cases", "found", "split"):
        del saved["segtrace"][key]
    del saved["segtrace"]["explain"]["aggregate"]
    torch.save(saved, tmp_path / "old.ckpt")
    trained = from_checkpoint(tmp_path / "old.ckpt")
    assert trained.settings.aggregate is None
    assert trained.split is None
    assert trained.trained_on(["0005"]) == []
    assert np.isnan(trained.whole.table("dice", ORGANS, ["0027"])).all()


@pytest.fixture(scope="module")
def events(run):
    accumulator = EventAccumulator(
        str(run.folder / "tensorboard"), {"images": 0, "scalars": 0, "tensors": 0}
    )
    return accumulator.Reload()


def test_the_tags_of_the_event_file_are_the_ones_expected(events):
    found = events.Tags()
    tags = set(found["images"]) | set(found["scalars"]) | set(found["tensors"])
    ours = expected_tags(rules=RULES, organs=ORGANS, cut=ORGANS, estimated=True)
    for split in ("val", "test"):
        ours |= {f"{split}/dice/{name}" for name in [*ORGANS, "mean"]}
    theirs = {"train/loss", LEARNING_RATE_TAG}
    assert tags - theirs == ours


def test_hyperparameters_stand_once_beside_the_dice(events):
    found = events.PluginTagToContent("hparams")
    assert set(found) == {f"_hparams_/{part}" for part in HPARAMS}
    experiment = HParamsPluginData.FromString(found["_hparams_/experiment"]).experiment
    assert [metric.name.tag for metric in experiment.metric_infos] == ["val/dice/mean"]
    names = {info.name for info in experiment.hparam_infos}
    assert {"seed", "data.size", "model.optimizer.lr", "trainer.max_epochs"} <= names
    assert "data.root" not in names  # a folder on somebody's disk


def test_tensorboard_finds_them_under_the_name_of_the_run_beside_its_last_dice(run, events):
    runs = EventMultiplexer().AddRunsFromDirectory(str(run.folder))
    runs.Reload()
    assert list(runs.Runs()) == ["tensorboard"]
    plugin = HParams(TBContext(data_provider=MultiplexerDataProvider(runs, str(run.folder))))
    request = RequestContext()
    experiment = plugin.experiment_from_metadata(
        request,
        "",
        True,
        plugin.hparams_metadata(request, ""),
        plugin.hparams_from_data_provider(request, "", 99),
    )
    asked = ListSessionGroupsRequest(slice_size=9, allowed_statuses=range(4))
    asked.col_params.add(metric=experiment.metric_infos[0].name)
    (group,) = list_session_groups.Handler(request, plugin, "", asked).run().session_groups
    assert group.hparams["data.size"].number_value == 64
    ((session, (dice,)),) = [(one.name, one.metric_values) for one in group.sessions]
    last = events.Scalars("val/dice/mean")[-1]
    assert (session, dice.name.tag, dice.training_step) == ("tensorboard", "val/dice/mean", 2)
    assert dice.value == last.value


def test_the_step_of_every_picture_and_dice_is_the_epoch(events):
    for organ in ORGANS:
        assert [e.step for e in events.Images(f"2_flow/1_seg_grad_cam/{organ}")] == [0, 1, 2]
        assert [e.step for e in events.Scalars(f"val/dice/{organ}")] == [0, 1, 2]
    assert [e.step for e in events.Scalars("train/loss")] == [1, 2]


def test_the_terminal_says_the_loss_and_the_dice_that_are_logged(run, events):
    for epoch in (1, 2):
        loss, dice = (
            next(e.value for e in events.Scalars(tag) if e.step == epoch)
            for tag in ("train/loss", "val/dice/mean")
        )
        assert f"Epoch {epoch} of 2: loss {loss:.3f}, Dice {dice:.3f}" in run.ran.out


def test_every_number_of_every_slice_stands_in_the_table(run):
    with (run.folder / "flow" / "measures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(RULES) * len(ORGANS) * len(STAGES) * 3  # epochs … probes
    assert {row["epoch"] for row in rows} == {"0", "1", "2"}
    assert {row["case"] for row in rows} == {"0027"}


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory):
    """explain.py on a copy of the checkpoint alone, in another process and folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    copy = shutil.copy(run.checkpoint(2), folder / "copied.ckpt")
    ran = run_script("explain.py", f"checkpoint={copy}", "hydra.run.dir=again", cwd=folder)
    assert ran.code == 0, ran.err[-3000:]
    return folder / "again"


def test_explain_repeats_what_the_callback_drew_and_measured(run, explained):
    for rule in RULES:
        for organ in ORGANS:
            ours = Image.open(run.folder / "flow" / "epoch_002" / rule / f"{organ}.png")
            again = Image.open(explained / "figures" / rule / f"{organ}.png")
            assert np.array_equal(np.asarray(ours), np.asarray(again)), (rule, organ)
    with (run.folder / "flow" / "measures.csv").open() as file:
        then = [row for row in csv.DictReader(file) if row["epoch"] == "2"]
    with (explained / "measures.csv").open() as file:
        now = list(csv.DictReader(file))
    assert now == then  # every digit
    manifest = json.loads((explained / "manifest.json").read_text())
    assert manifest["repeats_the_callback"].startswith("to the last bit")
    assert manifest["checkpoint"] == "copied.ckpt"


def test_beside_a_network_alone_stand_the_untrained_one_and_its_own_failures(run, tmp_path):
    ran = run_script(
        "explain.py",
        f"checkpoint={run.checkpoint(2)}",
        "rules=[grad_pam]",
        "organs=[liver]",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    with (run.folder / "flow" / "measures.csv").open() as file:
        then = [
            row
            for row in csv.DictReader(file)
            if (row["epoch"], row["rule"], row["organ"]) == ("0", "grad_pam", "liver")
        ]
    with (tmp_path / "out" / "untrained" / "measures.csv").open() as file:
        assert list(csv.DictReader(file)) == then
    page = read_page(tmp_path / "out" / "index.html")
    assert page["all_epochs"] == [0, 2]
    assert page["ct"]["original"]
    untrained, now = page["frames"]
    assert untrained["others"] == []
    assert [other["region"] for other in now["others"]] == ["false positives", "false negatives"]
    pixels = 0
    for region in ("fp", "fn"):
        record = load_maps(tmp_path / "out" / region / "maps.npz")
        found, true = (
            labels == record.scene.channels["liver"]
            for labels in (record.flow.prediction, record.scene.truth)
        )
        wrong = found & ~true if region == "fp" else true & ~found
        assert record.region == region
        assert record.flow.region_px[0].tolist() == wrong.flatten(1).sum(1).tolist()
        pixels += int(wrong.sum())
    assert pixels > 0


def test_where_the_prediction_is_explained_no_untrained_one_stands_beside_it(run, tmp_path):
    ran = run_script(
        "explain.py",
        f"checkpoint={run.checkpoint(2)}",
        "rules=[grad_pam]",
        "organs=[liver]",
        "region=pred",
        "failures=false",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    assert not {"untrained", "fp", "fn"} & {path.name for path in (tmp_path / "out").iterdir()}
    (frame,) = read_page(tmp_path / "out" / "index.html")["frames"]
    assert frame["others"] == []


def test_a_logged_picture_is_redrawn_from_the_maps_pixel_by_pixel(run, explained):
    record = load_maps(explained / "maps.npz")
    for rule in RULES:
        picture = flow_picture(record, rule, "liver")
        logged = Image.open(run.folder / "flow" / "epoch_002" / rule / "liver.png")
        assert np.array_equal(picture, np.asarray(logged))


def test_maps_differ_after_one_weight_is_changed(run, explained, tmp_path):
    saved = torch.load(run.checkpoint(2), weights_only=True)
    name = next(name for name in saved["state_dict"] if name.endswith("conv_0.conv_0.conv.weight"))
    saved["state_dict"][name][0, 0, 0, 0] += 0.1
    torch.save(saved, tmp_path / "changed.ckpt")
    ran = run_script("explain.py", "checkpoint=changed.ckpt", "hydra.run.dir=out", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    before, after = load_maps(explained / "maps.npz"), load_maps(tmp_path / "out" / "maps.npz")
    assert not torch.equal(before.flow.maps["dec1"], after.flow.maps["dec1"])


def test_several_checkpoints_a_region_and_the_papers_figure_in_one_call(run, tmp_path):
    ran = run_script(
        "explain.py",
        f"checkpoint='{run.folder}/checkpoints/epoch_00[12].ckpt'",
        "study=paper_figure",
        "region=gt",
        "stages=[dec4,enc1]",
        "shared_scale=true",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    for epoch in ("epoch_001", "epoch_002"):
        figures = tmp_path / "out" / epoch / "figures"
        assert (figures / "paper_figure.pdf").read_bytes().startswith(b"%PDF")
        caption = (figures / "caption.txt").read_text()
        assert "from 0 to the organ's maximum over all stages" in caption
        record = load_maps(tmp_path / "out" / epoch / "maps.npz")
        assert record.flow.stages == ("dec4", "enc1")
        assert record.flow.organs == ("left_kidney", "liver")
        again = paper_figure(record, record.flow.organs, record.flow.rules[0], shared=True)[0]
        np.testing.assert_array_equal(pixels(figures / "paper_figure.png"), as_picture(again, 300))
    assert "in all maps" in (tmp_path / "out" / "figures" / "caption.txt").read_text()


def test_a_new_image_is_explained_where_the_network_finds_organs(run, tiny_raw, tmp_path):
    ran = run_script(
        "explain.py",
        f"checkpoint={run.checkpoint(2)}",
        f"image={tiny_raw / 'img' / 'img0001.nii.gz'}",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    if ran.code:  # two epochs may find no organ at all: then that is what it says
        assert "organ" in ran.err
        assert len(ran.err.strip().splitlines()) == 1
        return
    record = load_maps(tmp_path / "out" / "maps.npz")
    assert record.region == "pred"
    assert record.scene.truth is None
    assert set(record.scene.cases) == {"img0001"}


BUILDER = """
import torch
from monai.networks.nets import BasicUNet

def build():
    return BasicUNet(2, 1, 5, features=(8, 8, 16, 16, 32, 8), norm="batch", dropout=0.1)
"""


def test_a_network_of_the_users_own_gives_the_same_maps(run, explained, tiny_raw, tmp_path):
    (tmp_path / "my_module.py").write_text(BUILDER)
    (tmp_path / "stages.yaml").write_text("bottleneck: down_4\nlast: upcat_1\n")
    saved = torch.load(run.checkpoint(2), weights_only=True)["state_dict"]
    wrapped = {name.replace("net.", "module._orig_mod.", 1): value for name, value in saved.items()}
    torch.save({"state_dict": wrapped}, tmp_path / "my.pth")
    ran = run_script(
        "explain.py",
        "net=my_module:build",
        "weights=my.pth",
        "stages=stages.yaml",
        "data=synapse",
        f"data.root={tiny_raw}",
        "data.split={train: ['0005'], val: ['0027']}",
        "data.organs=[spleen,left_kidney,liver,stomach]",
        "data.size=64",
        "probes.n=3",
        "hydra.run.dir=out",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    ours, theirs = load_maps(explained / "maps.npz").flow, load_maps(tmp_path / "out/maps.npz").flow
    torch.testing.assert_close(theirs.maps["last"], ours.maps["dec4"], rtol=1e-3, atol=1e-5)


ODD = {
    "spleen": "../../spleen",
    "left_kidney": "=1+1<script>alert(1)</script>",
    "liver": "Liver",
    "stomach": "liver",
    "dec4": "../dec4",
    "0027": "/case\x1b[31m",
}


def renamed(value):
    if isinstance(value, dict):
        return {ODD.get(key, key): renamed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner) for inner in value]
    return ODD.get(value, value) if isinstance(value, str) else value


@pytest.mark.long
def test_whatever_names_a_checkpoint_holds_all_files_stay_in_the_folder(run, tmp_path):
    saved = torch.load(run.checkpoint(2), weights_only=True)
    saved["segtrace"] = renamed(saved["segtrace"])
    # Control codes in names are shown as text, and the hash of the slices is over the names.
    told = understood(saved["segtrace"], tmp_path)["probes"]
    same = dict(told) | {"cases": tuple(told["cases"]), "slices": tuple(told["slices"])}
    saved["segtrace"]["probes"]["hash"] = Probes(
        **{name: value for name, value in same.items() if name != "hash"}
    ).hash
    folder = tmp_path / "deep" / "here"
    folder.mkdir(parents=True)
    path = folder / "...ckpt"  # its stem is two dots
    torch.save(saved, path)
    ran = run_script(
        "explain.py",
        f"checkpoint={path}",
        "log_dir=logs",
        "cut=channel_mean",
        "failures=false",
        "hydra.run.dir=out",
        cwd=folder,
    )
    assert ran.code == 0, ran.err[-3000:]
    assert "\x1b" not in ran.out + ran.err
    assert [found.name for found in tmp_path.iterdir()] == ["deep"]
    assert [found.name for found in (tmp_path / "deep").iterdir()] == ["here"]
    assert {found.name for found in folder.iterdir()} == {"...ckpt", "out", "logs"}
    pictures = {found.name for found in folder.rglob("figures/grad_pam/*.png")}
    assert len({name.casefold() for name in pictures}) == 4
    assert all(name.isprintable() for name in pictures)
    with (folder / "out" / "measures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "'" + ODD["left_kidney"] in {row["organ"] for row in rows}
    assert {row["case"] for row in rows} == {r"/case\x1b[31m"}
    (network,) = [found for found in (folder / "out").iterdir() if (found / "maps.npz").is_file()]
    record = load_maps(network / "maps.npz")
    assert set(record.flow.organs) == {name for old, name in ODD.items() if old in ORGANS}
    page = (folder / "out" / "index.html").read_text()
    assert "<script>alert" not in page
    assert ODD["left_kidney"] in read_page(folder / "out" / "index.html")["organs"]
    logs = EventAccumulator(str(folder / "logs"), {"images": 0, "scalars": 0, "tensors": 0})
    found = logs.Reload().Tags()
    tags = [*found["images"], *found["scalars"]]
    assert {tag.count("/") for tag in tags if tag.startswith("2_flow/")} == {2}
    assert not [tag for tag in tags if ".." in tag or not tag.isprintable()]


@pytest.mark.long
def test_a_class_outside_the_table_is_named_once_more_and_then_explained(run, tmp_path):
    saved = torch.load(run.checkpoint(2), weights_only=True)
    described = saved["segtrace"]
    del described["network"]["_network_"]
    described["network"]["_class_"] = "my_package.MyNet"
    described["environment"]["threads"] = 64
    torch.save(saved, tmp_path / "theirs.ckpt")
    (tmp_path / "my_package.py").write_text(
        "from monai.networks.nets import BasicUNet\n"
        "print('imported')\n"
        "class MyNet(BasicUNet):\n    pass\n"
    )
    ran = run_script("explain.py", "checkpoint=theirs.ckpt", "hydra.run.dir=out", cwd=tmp_path)
    assert ran.code == 1
    (line,) = ran.err.strip().splitlines()
    command = "explain.py checkpoint=theirs.ckpt net=my_package:MyNet"
    assert line.endswith(command)
    assert "imported" not in ran.out
    ran = run_script(*command.split(), "failures=false", "hydra.run.dir=again", cwd=tmp_path)
    assert ran.code == 0, ran.err[-3000:]
    assert "imported" in ran.out
    assert ran.out.count("64 there") == 1
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert "64 there" in manifest["repeats_the_callback"]
    ours = load_maps(tmp_path / "again" / "maps.npz").flow
    assert ours.stages == tuple(STAGES)
    with (run.folder / "flow" / "measures.csv").open() as file:
        then = [row for row in csv.DictReader(file) if row["epoch"] == "2"]
    with (tmp_path / "again" / "measures.csv").open() as file:
        assert list(csv.DictReader(file)) == then  # the class is another, the network the same


@pytest.mark.long
def test_a_damaged_last_checkpoint_costs_one_epoch_and_no_more(run, tiny_raw, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "copy")
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    ran = run_script(
        "train.py",
        *tiny_data(tiny_raw),
        *SMALL_NET,
        "trainer.max_epochs=2",
        "hydra.run.dir=copy",
        "data.cache_dir=cache",
        f"resume={last}",
        cwd=tmp_path,
    )
    assert ran.code == 0, ran.err[-3000:]
    assert f"{last} is damaged (its end is missing)" in ran.out
    assert f"Going on from {folder / 'checkpoints' / 'previous.ckpt'}" in ran.out
    assert "it does not become previous.ckpt" in ran.out
    whole = {
        name: torch.load(folder / "checkpoints" / name, weights_only=True)
        for name in ("epoch_002.ckpt", "last.ckpt", "previous.ckpt")
    }
    assert [saved["segtrace"]["epoch"] for saved in whole.values()] == [2, 2, 1]
    uninterrupted = torch.load(run.checkpoint(2), weights_only=True)["state_dict"]
    for name, value in whole["last.ckpt"]["state_dict"].items():
        assert torch.equal(value, uninterrupted[name]), name
