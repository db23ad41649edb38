"""Where the YAML files of the options lie: in the package, or beside the sources of a checkout."""

from pathlib import Path

_INSTALLED = Path(__file__).parents[1] / "conf"
CONF = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[2] / "conf"
"""The folder of ``train.yaml`` and ``explain.yaml``, and of the groups."""
