"""A tiny data set of phantoms in nnU-Net's layout: planned, preprocessed and trained by nnU-Net.

Run as a script, in a process whose environment names nnU-Net's folders: ``prepare FOLDER``, or
``train CONFIGURATION TRAINER``.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch

RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
PROCESSES = "nnUNet_n_proc_DA"

ORGANS = {"spleen": 1, "right_kidney": 2, "left_kidney": 3, "liver": 6}
"""Organ -> its number in the phantom; nnU-Net's count up from 1 in this order."""
NAME = "Dataset001_Phantom"
CASES = 6
SHAPE = (64, 56, 20)


def environment(folder: Path) -> dict[str, str]:
    places = {name: str(folder / name) for name in (RAW, PREPROCESSED, RESULTS)}
    return os.environ | places | {PROCESSES: "1", "nnUNet_compile": "f", "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str, **more: str) -> None:
    """This file in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment(folder) | more,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def write(raw: Path) -> None:
    from segtrace.data.phantom.phantom import CASES as NAMES
    from segtrace.data.phantom.phantom import generate

    for number, case in enumerate(NAMES[:CASES]):
        image, label, affine = generate(case, 0, SHAPE)
        if number == 1:  # outside of the scanned box, which is cropped
            image[:5] = 0
        table = np.zeros(256, np.uint8)
        for own, there in enumerate(ORGANS.values(), 1):
            table[there] = own
        for part, name, values in (
            ("imagesTr", f"p{number}_0000", image), ("labelsTr", f"p{number}", table[label]),
        ):  # fmt: skip
            (raw / part).mkdir(parents=True, exist_ok=True)
            file = nibabel.Nifti1Image(values, affine)
            nibabel.save(file, raw / part / f"{name}.nii.gz")
    described = {
        "channel_names": {"0": "CT"}, "numTraining": CASES, "file_ending": ".nii.gz",
        "labels": {"background": 0} | {name: n for n, name in enumerate(ORGANS, 1)},
    }  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(described))


def prepare() -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    write(Path(os.environ[RAW]) / NAME)
    api.extract_fingerprints([1], num_processes=1)
    api.plan_experiments([1], gpu_memory_target_in_gb=1)
    path = Path(os.environ[PREPROCESSED], NAME, "nnUNetPlans.json")
    plans = json.loads(path.read_text())
    small = {"2d": [48, 48], "3d_fullres": [16, 32, 32]}
    for name, patch in small.items():
        own = plans["configurations"][name]
        arguments = own["architecture"]["arch_kwargs"]
        sides = len(patch)
        coarse = [[1] * sides, [2] * sides, [2] * sides]
        arguments |= {
            "n_stages": 3, "features_per_stage": [6, 8, 10], "strides": coarse,
            "kernel_sizes": [[3] * sides] * 3, "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
        }  # fmt: skip
        own |= {"patch_size": patch, "batch_size": 2}
    plans["configurations"]["3d_fullres"]["spacing"] = [9.0, 5.0, 6.0]
    path.write_text(json.dumps(plans))
    api.preprocess([1], configurations=["2d", "3d_fullres"], num_processes=[1, 1])


def train(configuration: str, trainer: str) -> None:
    from nnunetv2.run.run_training import run_training
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from segtrace.nnunet import FlowMixin

    FlowMixin.flow_cut_every = 2

    def small(self: nnUNetTrainer) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 3, 2
        self.num_epochs = int(os.environ.get("EPOCHS", "2"))
        started(self)

    started = nnUNetTrainer.on_train_start
    nnUNetTrainer.on_train_start = small
    nnUNetTrainer.perform_actual_validation = lambda self, *_args: None
    os.environ[PROCESSES] = "0"  # one process: the same patches each time
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    initialise = nnUNetTrainer.initialize

    def seeded(self: nnUNetTrainer) -> None:
        torch.manual_seed(0)
        initialise(self)

    nnUNetTrainer.initialize = seeded
    run_training(
        NAME, configuration, 0, trainer, device=torch.device("cpu"),
        continue_training="CONTINUE" in os.environ,
    )  # fmt: skip


if __name__ == "__main__":
    {"prepare": prepare, "train": train}[sys.argv[1]](*sys.argv[2:])
