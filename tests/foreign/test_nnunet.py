"""nnU-Net v2 itself, on a tiny data set of phantoms: what it does, and what is done without it."""

import copy
import json
import shutil
from dataclasses import replace
from functools import partial

import nibabel
import numpy as np
import pytest
import torch

from foreign import trained_nnunet as tiny
from segtrace.integrations.nnunet.network import build, described
from segtrace.integrations.nnunet.older_plans import architecture_of
from segtrace.integrations.nnunet.plans import Plans
from segtrace.integrations.nnunet.preprocessing import prepare
from segtrace.integrations.nnunet.result import read_result
from segtrace.nnunet import TRAINERS
from segtrace.report.tables import read_table

pytestmark = pytest.mark.filterwarnings("default")  # packages of other versions than ours
PLAIN, WATCHED = "nnUNetTrainer", "nnUNetTrainerFlow"
CONFIGURATIONS = ("2d", "3d_fullres")
CASE = "p1"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The data set, planned and preprocessed; what is trained on it stands beside it."""
    place = tmp_path_factory.mktemp("nnunet")
    tiny.run(place, "prepare")
    return place


def results(folder, configuration, trainer=PLAIN):
    """The results of two epochs, trained where they are asked for first."""
    found = folder / tiny.RESULTS / tiny.NAME / f"{trainer}__nnUNetPlans__{configuration}"
    if not found.is_dir():
        tiny.run(folder, "train", configuration, trainer, nnUNet_extTrainer=str(TRAINERS))
    return found


def image_of(folder, case=CASE):
    return folder / tiny.RAW / tiny.NAME / "imagesTr" / f"{case}_0000.nii.gz"


VARIANTS = {
    "as planned": {},
    "planes far apart": {"spacing": [30.0, 4.0, 5.0]},
    "finer": {"spacing": [4.0, 3.0, 9.0]},
    "z-score": {"normalization_schemes": ["ZScoreNormalization"]},
    "z-score in the mask": {
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [True],
    },
    "0 to 1": {"normalization_schemes": ["RescaleTo01Normalization"]},
}  # fmt: skip


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("variant", VARIANTS)
def test_preprocessing_is_nnunets_own_to_the_last_bit(folder, variant, order):
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plain = json.loads((results(folder, "3d_fullres") / "plans.json").read_text())
    plain = copy.deepcopy(plain) | {"transpose_forward": order}
    plain["configurations"]["3d_fullres"] |= VARIANTS[variant]
    values = np.asarray(nibabel.load(image_of(folder)).dataobj, np.float32).T[None]
    manager = PlansManager(plain)
    spacing = [12.0, 6.5, 6.0]
    theirs, _, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        values, None, {"spacing": spacing}, manager, manager.get_configuration("3d_fullres"), {}
    )
    ours = prepare(values, spacing, Plans.of(plain, "3d_fullres", "plans.json")).image
    assert np.array_equal(theirs, ours)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_prediction_is_that_of_nnunets_predictor(folder, configuration, monkeypatch):
    """Where it adds logits up in single precision as we do; and nearly in half, as it does."""
    from nnunetv2.inference import predict_from_raw_data as theirs

    predictor = theirs.nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"),
        allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(str(results(folder, configuration)), (0,))
    image, properties = predictor.plans_manager.image_reader_writer_class().read_images(
        [str(image_of(folder))]
    )
    half = predictor.predict_single_npy_array(image, properties, None, None, False)
    gaussian = partial(theirs.compute_gaussian, dtype=torch.float32)
    monkeypatch.setattr(theirs, "compute_gaussian", gaussian)
    monkeypatch.setattr(torch, "half", torch.float32)
    single = predictor.predict_single_npy_array(image, properties, None, None, False)
    foreign = read_result(results(folder, configuration))
    case = foreign.read(image_of(folder))
    logits = foreign.logits(case)
    wanted = predictor.predict_logits_from_preprocessed_data(case.image)
    assert torch.allclose(logits, wanted, atol=1e-4)
    ours = foreign.label(foreign.masks(case, logits)).transpose(2, 1, 0)
    assert len(np.unique(single)) > 2
    assert (single == ours).mean() > 0.9999
    assert (half == ours).mean() > 0.998


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_plans_from_before_2_4_are_read_as_nnunet_reads_them(name, folder):
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

    old = {
        "patch_size": [16, 32, 32], "UNet_class_name": name, "UNet_base_num_features": 8,
        "unet_max_num_features": 20, "n_conv_per_stage_encoder": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2], "num_pool_per_axis": [2, 2, 2],
        "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    }  # fmt: skip
    ours = described(architecture_of(old, "plans.json"), "plans.json")
    with pytest.warns(UserWarning, match="old nnU-Net plans"):
        theirs = ConfigurationManager(copy.deepcopy(old)).configuration["architecture"]
    assert described(theirs, "plans.json") == ours
    kinds, arguments = theirs["_kw_requires_import"], theirs["arch_kwargs"]
    wanted = get_network_from_plans(
        theirs["network_class_name"], arguments, kinds, 1, 5, deep_supervision=False
    ).eval()
    plain = json.loads((results(folder, "3d_fullres") / "plans.json").read_text())
    plans = Plans.of(plain, "3d_fullres", "plans.json")
    plans = replace(plans, architecture=architecture_of(old, "plans.json"))
    net = build(plans, 5, wanted.state_dict(), "plans.json")
    net.load_state_dict(wanted.state_dict())
    x = torch.rand(1, 1, 16, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(x), wanted(x))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_weights_are_to_the_last_bit_those_of_a_training_without_it(folder, configuration):
    plain, watched = (
        torch.load(
            results(folder, configuration, trainer) / "fold_0" / "checkpoint_final.pth",
            weights_only=False,
        )
        for trainer in (PLAIN, WATCHED)
    )
    for name, value in plain["network_weights"].items():
        assert torch.equal(value, watched["network_weights"][name]), name
    for key in ("train_losses", "val_losses", "mean_fg_dice"):
        assert plain["logging"][key] == watched["logging"][key]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_what_is_explained_afterwards_equals_what_was_logged(folder, configuration, tmp_path):
    from helpers.scripts import answer_of

    place = results(folder, configuration, WATCHED)
    flow = place / "fold_0" / "flow"
    assert list((flow / "tensorboard").glob("events*"))
    assert {path.name for path in flow.glob("epoch_*")} == {"epoch_000", "epoch_001", "epoch_002"}
    assert {row["epoch"] for row in read_table(flow / "necessity.csv")} == {"0", "2"}
    logged = [row for row in read_table(flow / "measures.csv") if int(row["epoch"]) == 2]
    ran = answer_of("explain.py", f"nnunet={place}", "failures=false",
                    f"hydra.run.dir={tmp_path / 'out'}")  # fmt: skip
    assert ran.code == 0, ran.err
    again = read_table(tmp_path / "out" / "measures.csv")
    assert len(again) == len(logged) > 0
    for one, other in zip(again, logged, strict=True):
        for key in ("case", "slice", "organ", "rule", "stage", "status"):
            assert one[key] == other[key]
        assert np.isclose(float(one["gain"]), float(other["gain"]), atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_an_image_is_explained_on_its_own_voxels(folder, configuration, tmp_path):
    from helpers.scripts import answer_of

    ran = answer_of(
        "explain.py", f"nnunet={results(folder, configuration)}", f"image={image_of(folder)}",
        "probes.n=2", "stages=[enc3,dec2]", f"hydra.run.dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    source = nibabel.load(image_of(folder))
    for path in (tmp_path / "out").rglob("*.nii.gz"):
        found = nibabel.load(path)
        assert found.shape == source.shape
        assert np.allclose(found.affine, source.affine)


def test_a_training_that_goes_on_goes_on_with_its_timeline(folder, tmp_path):
    before = read_table(results(folder, "2d", WATCHED) / "fold_0" / "flow" / "measures.csv")
    copied = tmp_path / "copy"
    for part in (tiny.RAW, tiny.PREPROCESSED):
        (copied / part).parent.mkdir(parents=True, exist_ok=True)
        (copied / part).symlink_to(folder / part)
    shutil.copytree(folder / tiny.RESULTS, copied / tiny.RESULTS)
    more = {"nnUNet_extTrainer": str(TRAINERS), "EPOCHS": "3", "CONTINUE": "1"}
    tiny.run(copied, "train", "2d", WATCHED, **more)
    flow = results(copied, "2d", WATCHED) / "fold_0" / "flow"
    epochs = [int(row["epoch"]) for row in read_table(flow / "measures.csv")]
    assert sorted(set(epochs)) == [0, 1, 2, 3]
    assert [row for row in read_table(flow / "measures.csv") if int(row["epoch"]) < 3] == before
