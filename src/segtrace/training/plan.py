"""A checked configuration: what ``train.py`` was asked to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from segtrace.errors import InputError, unknown
from segtrace.report.files import check_writable
from segtrace.training.limits import check_limits
from segtrace.training.rehearsal import rehearse
from segtrace.training.schema import check

KEYS = (
    "seed", "resume", "test", "probes",
    "data", "model", "explain", "trainer", "callbacks", "logger",
)  # fmt: skip
PLACES = ("data.root", "data.cache_dir", "data.lists")
"""Folders on somebody's disk, which a result does not depend on."""

PROBE_KEYS = {"n": int, "from": str, "embed": bool}


@dataclass(frozen=True)
class Plan:
    """A checked configuration.

    Attributes:
        config: plain dicts, resolved.
        folder: of the run.
    """

    config: Mapping[str, Any]
    folder: Path

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.config["seed"])

    @property
    def resume(self) -> str | None:
        """Checkpoint to go on from."""
        return self.config["resume"]

    @property
    def hyperparameters(self) -> dict[str, float | str | bool]:
        """What a run can be told from another by, one level deep: ``data.size`` -> 224."""
        parts = {
            name: self.config[name] for name in ("seed", "data", "model", "explain", "trainer")
        }
        return {key: value for key, value in _flat(parts) if key not in PLACES}

    @property
    def cut_every(self) -> int | None:
        """Epochs between two cuts of the network; ``None`` for never."""
        for node in self.config["callbacks"].values():
            if node is not None and node["_target_"].endswith(".FlowCallback"):
                return node.get("cut_every")
        return None

    @property
    def test(self) -> bool:
        """Whether to score the test cases."""
        return bool(self.config["test"])


def _flat(node: Any, where: str = "") -> Iterator[tuple[str, float | str | bool]]:
    """Every leaf with its path; lists as text, what is null left out."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, bool | int | float | str):
        yield where, node
    elif node is not None:
        yield where, str(node)


def checked(config: DictConfig) -> Plan:
    """Check the configuration before any work, and keep it in the run's folder.

    Raises:
        InputError: see :func:`segtrace.training.schema.check`; a folder that holds another run.
    """
    plain = plainly(config)
    check(plain, KEYS)
    check_probes(plain["probes"])
    check_limits(plain)
    if plain["resume"] is not None and not Path(plain["resume"]).is_file():
        raise InputError(f"resume={plain['resume']}: no such file; name a run's last.ckpt")
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_writable(folder)
    if plain["resume"] is None:
        refuse_used(folder, ["checkpoints/*.ckpt"], "to go on, say resume=…/last.ckpt")
    rehearse(plain, folder)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    return Plan(plain, folder)


def refuse_used(folder: Path, patterns: Sequence[str], instead: str = "") -> None:
    """Nothing is overwritten: a folder with results of before is not taken again.

    Args:
        folder: where results are to go.
        patterns: of files that are results.
        instead: what else the user may have wanted.

    Raises:
        InputError: one of them is there.
    """
    found = next((path for pattern in patterns for path in folder.glob(pattern)), None)
    if found is not None:
        wanted = f"; {instead}" if instead else ""
        raise InputError(
            f"{folder} holds results already ({found.relative_to(folder)}), and nothing is "
            f"overwritten; name another folder with hydra.run.dir=…{wanted}"
        )


def plainly(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain dicts and lists, interpolations resolved.

    Raises:
        InputError: a value that must be given and is not.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise InputError(f"{missing[0]} must be given: say {missing[0]}=…")
    plain = OmegaConf.to_container(config, resolve=True)
    if not isinstance(plain, dict):
        raise InputError(f"the configuration is a {type(plain).__name__}; a mapping is needed")
    return {str(key): value for key, value in plain.items()}


def check_probes(given: Mapping[str, Any], parts: Sequence[str] = ("val", "train")) -> None:
    """Hold the options of the probes against what they may be.

    Args:
        given: name -> value.
        parts: of the split, which they may be from.

    Raises:
        InputError: an unknown option or a value of the wrong kind.
    """
    for key, value in given.items():
        if key not in PROBE_KEYS:
            raise unknown("option", f"probes.{key}", [f"probes.{name}" for name in PROBE_KEYS])
        if type(value) is not PROBE_KEYS[key]:
            raise InputError(f"probes.{key}={value!r}; a {PROBE_KEYS[key].__name__} is needed")
    if given["from"] not in parts:
        raise unknown("probes.from", given["from"], parts)
