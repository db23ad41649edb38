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
