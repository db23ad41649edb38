import pytest
import torch

from helpers.planted_reader import Reader, save_reader
from helpers.scripts import run_script
from segtrace import InputError
from segtrace.planted.benchmark import score_planted
from segtrace.planted.images.tasks import plant
from segtrace.planted.network import PlantedNetwork


@pytest.fixture
def reader(tmp_path):
    return save_reader(tmp_path / "epoch_001.ckpt", "far")


def test_the_slices_are_those_of_the_checkpoints_own_validation_cases(reader):
    slices = PlantedNetwork.load(reader, Reader).slices()
    assert slices.cases == tuple(f"{case:03d}" for case in range(4, 8) for _ in range(8))
    planted = plant("far", 0, 5, 3)
    torch.testing.assert_close(slices.images[11, 0], torch.from_numpy(planted.image))
    torch.testing.assert_close(slices.evidence[11], torch.from_numpy(planted.evidence))
    torch.testing.assert_close(slices.decoy[11], torch.from_numpy(planted.decoy))
    assert slices.own[:4].tolist() == [1, 2, 1, 2]


def test_the_first_slices_of_each_case_are_whole_twins(reader):
    slices = PlantedNetwork.load(reader, Reader).slices()
    few = slices.first(2)
    assert few.cases == tuple(f"{case:03d}" for case in range(4, 8) for _ in range(2))
    torch.testing.assert_close(few.images, slices.images[[0, 1, 8, 9, 16, 17, 24, 25]])


def test_the_untrained_network_lies_beside_it_or_is_not_there(reader):
    network = PlantedNetwork.load(reader, Reader)
    assert network.untrained() is None
    save_reader(reader.with_name("epoch_000.ckpt"), "far", epoch=0, blind=True)
    assert network.untrained().blind


@pytest.mark.parametrize("task", ["near", "shortcut"])
def test_in_every_task_the_evidence_is_the_mark_that_decides(tmp_path, task):
    network = PlantedNetwork.load(save_reader(tmp_path / "epoch_001.ckpt", task), Reader)
    slices = network.slices()
    inside = slices.evidence & (slices.truth > 0)
    torch.testing.assert_close(inside, slices.evidence)


def test_without_the_tag_the_far_mark_is_the_evidence(tmp_path):
    network = PlantedNetwork.load(save_reader(tmp_path / "epoch_001.ckpt", "shortcut"), Reader)
    slices = network.slices("absent")
    assert not (slices.evidence & (slices.truth > 0)).any()


def test_a_class_is_right_where_its_margin_is_positive(reader):
    network = PlantedNetwork.load(reader, Reader)
    slices = network.slices()
    logits = network.logits(slices)
    margin = slices.margin(logits)
    for n in range(4):
        disc, own = slices.truth[n] > 0, int(slices.own[n])
        expected = (logits[n, own] - logits[n, 3 - own])[disc].double().mean()
        torch.testing.assert_close(margin[n], expected)
    assert (margin > 0).all()


def test_a_checkpoint_of_something_else_is_refused(reader, tmp_path):
    saved = torch.load(reader, weights_only=True)
    saved["segtrace"]["source"]["name"] = "RawSource"
    other = tmp_path / "other.ckpt"
    torch.save(saved, other)
    with pytest.raises(InputError, match="was not trained on planted evidence; train one"):
        score_planted("grad_pam", other)


def test_a_class_that_the_file_names_is_built_where_the_user_names_it_too(reader):
    with pytest.raises(
        InputError, match=r"helpers.planted_reader.Reader'.* net=helpers.planted_reader:Reader"
    ):
        PlantedNetwork.load(reader)
    assert isinstance(PlantedNetwork.load(reader, "helpers.planted_reader:Reader").net, Reader)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("organs", {"liver": 1}, r"has the organs \{'liver': 1\}; those of the task far are"),
        ("source", {"name": "PlantedSource", "settings": {}}, "settings lacks 'generator'"),
        ("explain", {"activation": "sigmoid"}, "model.activation=sigmoid; a pixel is of one class"),
    ],
)
def test_a_description_that_is_none_of_planted_evidence_is_refused(reader, part, value, message):
    saved = torch.load(reader, weights_only=True)
    saved["segtrace"][part] = value
    torch.save(saved, reader)
    with pytest.raises(InputError, match=message):
        PlantedNetwork.load(reader, Reader)


@pytest.mark.long
def test_a_few_steps_of_the_experiment_leave_a_checkpoint_that_can_be_scored(tmp_path):
    """Through train.py as a user starts it, callback and all; far from learned, so refused."""
    sizes = ["data.planted_cases=[2,3,1]", "data.planted_slices=4", "data.steps_per_epoch=2"]
    net = ["model.net.filters=[4,4,4,4,4,4]", "trainer.max_epochs=1", "probes.n=2"]
    ran = run_script(
        "train.py", "experiment=planted", "data.task=near", "seed=2", *sizes, *net,
        "hydra.run.dir=run", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false",
        cwd=tmp_path,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    path = tmp_path / "run" / "checkpoints" / "epoch_001.ckpt"
    network = PlantedNetwork.load(path)
    assert network.source.settings()["task"] == "near"
    assert (network.source.seed, network.epoch) == (2, 1)
    score = score_planted("seg_grad_cam", path)
    assert {stage.verdict for stage in score.stages} == {"refused"}
    assert score.reason.startswith("Dice 0.")
