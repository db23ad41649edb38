"""What files keep, read back."""

import io
from pathlib import Path
from typing import Any

import numpy as np
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
    loop = {"epoch_loop.state_dict": {"_batches_that_stepped": 10 * epoch}}
    saved = {
        "segtrace": {"epoch": epoch},
        "state_dict": {"net.weight": torch.arange(1002.0).view(2, 501)},
        "optimizer_states": [],
        "lr_schedulers": [],
        "epoch": epoch,
        "global_step": 10 * epoch,
        "loops": {"fit_loop": loop},
        "callbacks": {"Continuity": {"steps": 40}},
    }
    torch.save(saved, path)
    return path
