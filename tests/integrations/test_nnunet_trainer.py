"""The mixin over a stand-in for nnU-Net's trainer; over the real one in tests/foreign."""

import copy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import segtrace.nnunet
from helpers.nnunet_results import DATASET, PLANS
from helpers.twins.nnunet import PlainConvUNet
from segtrace import InputError
from segtrace.checkpoint.reading import read
from segtrace.integrations.nnunet.plans import Labels, Plans
from segtrace.integrations.nnunet.watching import probes_of, training_windows
from segtrace.nnunet import FlowMixin
from segtrace.report.tables import read_table

REGIONS = DATASET | {
    "labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2],
}  # fmt: skip


class Cases:
    """Two preprocessed cases: 3 planes of 20 x 30, an organ in a corner of some of them."""

    identifiers = ("a", "b")

    def load_case(self, case):
        image = np.random.default_rng(ord(case)).normal(size=(1, 3, 20, 30)).astype(np.float32)
        label = np.zeros((1, 3, 20, 30), np.int8)
        label[0, 1, :8, :8], label[0, 2, 12:, 20:] = 1, 2
        label[0, 0] = -1
        properties = {
            "sitk_stuff": {"spacing": (2.0, 2.0, 5.0), "origin": (1.0, 2.0, 3.0),
                           "direction": tuple(np.eye(3).ravel())},
            "bbox_used_for_cropping": [[0, 3], [2, 22], [0, 30]],
            "shape_before_cropping": (3, 22, 30),
        }  # fmt: skip
        return image, label, None, properties


class Trainer:
    """What the mixin reads and calls of nnU-Net's trainer, and a training of its own."""

    def __init__(self, folder, epochs=2, dataset=DATASET):
        torch.manual_seed(0)
        self.network, self.local_rank = PlainConvUNet((4, 6, 6, 8), 3), 0
        if dataset is REGIONS:
            self.network = PlainConvUNet((4, 6, 6, 8), 2)
        self.plans_manager = SimpleNamespace(plans=PLANS, plans_name="nnUNetPlans")
        self.configuration_name, self.dataset_json = "2d", dataset
        self.output_folder, self.current_epoch, self.num_epochs = str(folder), 0, epochs
        self.values = {"dice_per_class_or_region": [0.25, float("nan")], "train_losses": 0.5}
        self.logger = SimpleNamespace(get_value=lambda key, step: self.values[key])
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01)

    def get_tr_and_val_datasets(self):
        torch.rand(1)  # which moves the generator, and must not
        return Cases(), Cases()

    def on_train_start(self):
        self.network.train()

    def on_epoch_end(self):
        self.save_checkpoint(f"{self.output_folder}/checkpoint_latest.pth")
        self.current_epoch += 1

    def save_checkpoint(self, filename):
        torch.save({"epoch": self.current_epoch + 1, "net": self.network.state_dict()}, filename)

    def load_checkpoint(self, filename):
        saved = torch.load(filename)
        self.current_epoch = saved["epoch"]
        self.network.load_state_dict(saved["net"])

    def run_training(self):
        self.on_train_start()
        for _ in range(self.current_epoch, self.num_epochs):
            loss = sum(out.square().mean() for out in self.network(torch.randn(2, 1, 16, 24)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.on_epoch_end()


class Watched(FlowMixin, Trainer):
    flow_probes = 3
    flow_cut_every = 2


def epochs_of(folder, table="measures.csv"):
    return sorted({int(row["epoch"]) for row in read_table(folder / "flow" / table)})


@pytest.mark.parametrize("dataset", [DATASET, REGIONS], ids=["labels", "regions"])
def test_weights_are_those_of_a_training_without_it_and_epochs_are_explained(tmp_path, dataset):
    weights = []
    for kind in (Trainer, Watched):
        (tmp_path / kind.__name__).mkdir()
        trainer = kind(tmp_path / kind.__name__, 1, dataset)
        trainer.run_training()
        weights.append(copy.deepcopy(trainer.network.state_dict()))
        assert trainer.network.training
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    folder = tmp_path / "Watched"
    assert epochs_of(folder) == [0, 1]
    assert epochs_of(folder, "necessity.csv") == [0, 1]
    sites = {row["site"] for row in read_table(folder / "flow/necessity.csv")}
    assert {"enc1", "dec3", "skip_3"} <= sites
    assert (folder / "flow/epoch_001/overview.png").is_file()
    assert list((folder / "flow/tensorboard").iterdir())
    probes = read(folder / "flow/probes.pt")
    assert len(probes["cases"]) == 3


def test_a_training_that_goes_on_goes_on_with_its_timeline(tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
    Watched(whole, 1).run_training()
    Watched(parted, 1).run_training()
    trainer = Watched(parted, 2)
    trainer.load_checkpoint(str(parted / "checkpoint_latest.pth"))
    trainer.run_training()
    assert epochs_of(parted) == [0, 1, 2]
    assert epochs_of(parted, "necessity.csv") == [0, 2]  # 1 is no longer the last
    first = [row for row in read_table(parted / "flow/measures.csv") if int(row["epoch"]) < 2]
    assert first == read_table(whole / "flow/measures.csv")
    with pytest.raises(InputError, match="holds results of another run"):
        Watched(parted, 1).run_training()


def test_what_stands_in_a_cut_place_is_the_mean_over_windows_of_training_cases():
    plans = Plans.of(PLANS, "2d", "plans")
    loaded = []

    def load(case):
        loaded.append(case)
        return np.full((1, 3, 20, 12), ord(case), np.float32), None, {}

    drawn = list(training_windows(load, ["b", "a"], plans, 9))
    assert [tuple(window.shape) for window in drawn] == [(1, 1, 16, 24)] * 9
    assert {float(window.max()) for window in drawn} == {97.0, 98.0}
    assert loaded == ["a", "b"]
    assert all(map(torch.equal, drawn, training_windows(load, ["a", "b"], plans, 9)))


def test_numbers_below_one_are_refused_before_the_first_epoch(tmp_path):
    trainer = Watched(tmp_path)
    trainer.flow_cut_every = 0
    with pytest.raises(InputError, match="cut_every=0; give 1 or more"):
        trainer.run_training()
    trainer = Watched(tmp_path)
    trainer.flow_every_n_epochs = 0
    with pytest.raises(InputError, match="flow_every_n_epochs=0; give 1 or more"):
        trainer.run_training()


def test_other_processes_than_the_first_explain_nothing(tmp_path):
    trainer = Watched(tmp_path)
    trainer.local_rank = 1
    trainer.run_training()
    assert not (tmp_path / "flow").exists()


def test_windows_are_those_that_show_most_organs_and_know_where_they_lie():
    plans, labels = Plans.of(PLANS, "2d", "plans"), Labels.of(DATASET, "dataset")
    cases = Cases()

    def load(case):
        image, label, _, properties = cases.load_case(case)
        return image, label, properties

    probes = probes_of(load, ["b", "a"], plans, labels, 2)
    assert probes.images.shape == (2, 1, 16, 24)
    assert probes.cases == ("a", "a")
    # Planes 1 and 2; two windows along each axis, at 0 and 4, and at 0 and 6.
    first, last = probes.slices
    assert (first, last) == (4, 11)
    image, label, _ = load("a")
    assert torch.equal(probes.images[0, 0], torch.from_numpy(image[0, 1, :16, :24]))
    assert torch.equal(probes.labels[1], torch.from_numpy(label[0, 2, 4:, 6:]).to(torch.uint8))
    # Voxel (row 0, column 0) of the second window is row 4 + 2 and column 6 of the file.
    assert probes.affines is not None
    place = probes.affines[1, 0].numpy() @ [0, 0, 0, 1]
    assert np.allclose(place, [-(1 + 2 * 6), -(2 + 2 * 6), 3 + 5 * 2, 1])
    assert probes.file_sizes[0] == (30, 22, 3)
    with pytest.raises(InputError, match="show none of"):
        probes_of(lambda case: (image, label * 0, {}), ["a"], plans, labels, 2)


def test_the_folder_for_nnunet_is_printed_and_holds_one_trainer():
    done = subprocess.run([sys.executable, "-m", "segtrace.nnunet"], capture_output=True, text=True)
    assert done.stdout.strip() == str(segtrace.nnunet.TRAINERS)
    (file,) = segtrace.nnunet.TRAINERS.glob("*.py")
    assert "class nnUNetTrainerFlow(FlowMixin, nnUNetTrainer)" in file.read_text()
    assert segtrace.nnunet.read_result.__module__ == "segtrace.integrations.nnunet.result"
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        segtrace.nnunet.other  # noqa: B018
