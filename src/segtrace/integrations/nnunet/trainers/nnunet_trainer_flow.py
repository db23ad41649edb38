"""nnU-Net's default trainer, watched: ``nnUNetv2_train 1 2d 0 -tr nnUNetTrainerFlow``.

nnU-Net finds it where ``nnUNet_extTrainer`` names this folder, see
:class:`segtrace.integrations.nnunet.trainer.FlowMixin`.
"""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from segtrace.integrations.nnunet.trainer import FlowMixin


class nnUNetTrainerFlow(FlowMixin, nnUNetTrainer):  # noqa: N801 (as nnU-Net names its trainers)
    """The default trainer, and the maps of fixed windows after every epoch."""
