"""Lightning's checkpoints, written beside their place: whole or not there at all."""

from io import BytesIO
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from segtrace.report.files import save_bytes


class WholeFiles(TorchCheckpointIO):
    """Write a checkpoint in its own folder, and leave nothing of one that could not be written.

    Lightning's own goes by way of the system's folder for temporary files, which may be another
    disk, and full, and where what could not be moved would stay.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write it.

        Raises:
            InputError: it cannot be written.
        """
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        save_bytes(path, buffer.getvalue())
