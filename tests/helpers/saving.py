"""What files keep, read back."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image


def reloaded(plain: Any) -> Any:
    """Plain values and tensors after a file that may hold nothing else."""
    file = io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3) of a picture's file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def full_checkpoint(path: Path, epoch: int) -> Path:
    """What Lightning keeps of a training, as far as it is looked at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"ready": epoch, "completed": epoch}
    progress = {"total": numbers, "current": numbers}
    steps = {"optimizer": {"step": progress, "zero_grad": progress}}
    loop = {
        "epoch_progress": progress,
        "epoch_loop.state_dict": {"_batches_that_stepped": 10 * epoch},
        "epoch_loop.batch_progress": progress,
        "epoch_loop.scheduler_progress": progress,
        "epoch_loop.automatic_optimization.optim_progress": steps,
    }
    moments = {"step": torch.tensor(10.0 * epoch), "exp_avg": torch.zeros(2, 501)}
    saved = {
        "segtrace": {"epoch": epoch},
        "state_dict": {"net.weight": torch.arange(1002.0).view(2, 501)},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"params": [0], "lr": 0.1}]}],
        "lr_schedulers": [{"last_epoch": epoch}],
        "epoch": epoch,
        "global_step": 10 * epoch,
        "loops": {"fit_loop": loop},
        "callbacks": {
            "Continuity": {"steps": 40},
            "FlowCallback": {
                "history": {"epochs": [0, 1, 2]},
                "drawn": {"overview": 2, "charts": 0},
                "cuts": {"epochs": [0]},
            },
        },
        "pytorch-lightning_version": pl.__version__,
    }
    torch.save(saved, path)
    return path
