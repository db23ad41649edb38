"""All known networks, found by the class: their packages are never imported."""

from collections.abc import Mapping

from torch import nn

from segtrace.network.known.libraries import LIBRARIES
from segtrace.network.known.models import MODELS
from segtrace.network.known.monai import MONAI
from segtrace.network.known.nnunet import NNUNET
from segtrace.network.known.published import PUBLISHED
from segtrace.network.known.record import Known
from segtrace.network.known.segmentation_models import SEGMENTATION_MODELS

NETWORKS = (*MONAI, *MODELS, *NNUNET, *SEGMENTATION_MODELS, *LIBRARIES, *PUBLISHED)

_BY_CLASS: Mapping[str, Known] = {path: known for known in NETWORKS for path in known.classes}


def find(net: nn.Module) -> Known | None:
    """What is known of a network, by its class or a parent class."""
    paths = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(net).__mro__)
    return next((_BY_CLASS[path] for path in paths if path in _BY_CLASS), None)
