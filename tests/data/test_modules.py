import inspect
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class

from segtrace.data.datamodule import CaseDataModule
from segtrace.data.limits import PHANTOM_SIDE
from segtrace.data.modules import PhantomData, SynapseData
from segtrace.data.phantom.phantom import LEAST
from segtrace.errors import InputError

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


WRONG = {
    "organs": ["livr"], "size": 0, "window": [275, -125], "split": "foo", "fold": "6/5",
    "batch_size": 0, "steps_per_epoch": 0, "num_workers": "many", "patch": [96, 96],
    "spacing": [1.0, 2.0, 0.0],
}  # fmt: skip


@pytest.mark.parametrize("option", WRONG)
def test_an_option_that_cannot_be_is_refused_before_anything_is_generated_or_unpacked(
    option, tmp_path, monkeypatch
):
    """Which takes minutes, of a phantom and of an archive."""
    wrong = {option: WRONG[option]}
    for source in ("PhantomSource", "RawSource"):
        monkeypatch.setattr(f"segtrace.data.modules.{source}", lambda *_: pytest.fail("was made"))
    for module in (PhantomData, SynapseData):
        with pytest.raises(InputError, match=r"^[^\n]+$"):
            module(root=str(tmp_path), **wrong)
        assert "liver" in module(root=str(tmp_path)).organs  # nor where all is right
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"phantom_cases": 0}, {"phantom_cases": 31}, {"phantom_shape": [64, 64]},
        {"phantom_shape": [7, 64, 64]}, {"phantom_shape": [64, 64, 10**6]},
    ],
)  # fmt: skip
def test_a_phantom_that_nobody_can_generate_is_refused_by_the_name_of_its_option(wrong, tmp_path):
    (name,) = wrong
    with pytest.raises(InputError, match=rf"^data\.{name}=.*; give "):
        PhantomData(root=str(tmp_path), **wrong)
    assert not list(tmp_path.iterdir())
    assert PHANTOM_SIDE[0] == LEAST
