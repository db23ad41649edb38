import inspect
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class

from segtrace.data.datamodule import CaseDataModule

CONF = Path(__file__).parents[2] / "conf" / "data"
FILES = sorted(CONF.glob("*.yaml"))


def options(module):
    """Option -> default, the module's own and those of the class above."""
    found = {}
    for cls in (CaseDataModule, module):
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name != "self":
                found[name] = parameter.default
    return found


def test_every_kind_of_data_has_its_file():
    assert {path.stem for path in FILES} == {
        "nifti", "phantom", "planted", "synapse", "synapse_transunet"
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_options_names_what_changes_the_slices_and_nothing_unknown(path):
    config = yaml.safe_load(path.read_text())
    module = get_class(config.pop("_target_"))
    allowed = options(module)
    assert set(config) <= set(allowed)
    assert {"window", "augment", "cache_dir", "batch_size"} <= set(config)
    assert ("other" in config) == ("other" in allowed)
    assert config["window"] == list(allowed["window"])
    assert config["augment"] is (path.stem != "planted")
    assert config.get("sides", False) is allowed.get("sides", False) is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["window", "augment", "other"])
def test_the_options_that_change_the_slices_are_explained_where_they_stand(path, name):
    lines = [line for line in path.read_text().splitlines() if line.startswith(f"{name}:")]
    assert all(len(line.split(" # ")[1]) > 20 for line in lines)
    assert len(lines) == (name != "other" or path.stem == "nifti")
