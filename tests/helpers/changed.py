"""Results with other numbers."""

from typing import Any

import torch


def changed(found: Any, **values: Any) -> Any:
    """The result with other numbers or names beside its axes; they have the axes they had."""
    data = found.data
    given = {name: torch.as_tensor(v) if name in data.data_vars else list(v)
             for name, v in values.items()}  # fmt: skip
    return type(found)(data.assign({name: (data[name].dims, v) for name, v in given.items()}))
