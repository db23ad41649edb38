import json

import nibabel
import numpy as np
import pytest
import torch
from monai import transforms as monai

from helpers.bundles import INFERENCE, METADATA, changed, write
from helpers.raw_layout import AFFINES
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.activation import SIGMOID, Organ
from segtrace.integrations.bundle.read import read_bundle

NETWORK, TRANSFORMS = INFERENCE["network_def"], INFERENCE["preprocessing"]["transforms"]


def transforms(*nodes):
    return changed(preprocessing={"_target_": "Compose", "transforms": list(nodes)})


def scan(path, axes="LPS", shape=(9, 10, 8)):
    values = np.random.default_rng(0).integers(-100, 200, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, AFFINES[axes]), path)
    return path


@pytest.mark.parametrize("as_yaml", [False, True])
def test_network_window_labels_and_activation_are_read(tmp_path, as_yaml):
    net = write(tmp_path, as_yaml=as_yaml)
    found = read_bundle(tmp_path)
    assert found.organs == {"spleen": Organ(1, 1), "liver": Organ(2, 2)}
    assert found.patch == (8, 8, 8)
    assert not found.notes
    for name, value in net.state_dict().items():
        assert torch.equal(found.net.state_dict()[name], value)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "oblique"])
def test_an_image_is_what_monais_own_transforms_make_of_it(tmp_path, axes):
    write(tmp_path)
    path = scan(tmp_path / "ct.nii.gz", axes)
    case = read_bundle(tmp_path).read(path)
    own = monai.Compose([
        monai.LoadImaged("image"), monai.EnsureChannelFirstd("image"),
        monai.Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        monai.Spacingd("image", pixdim=(5.0, 5.0, 6.0), mode="bilinear"),
        monai.ScaleIntensityRanged("image", -57, 164, 0, 1, clip=True),
    ])({"image": path})["image"]  # fmt: skip
    assert torch.allclose(case.image, own.as_tensor(), atol=1e-6)
    assert np.allclose(case.affine, own.affine)


@pytest.mark.parametrize("planar", [False, True])
def test_a_marked_voxel_comes_back(tmp_path, planar):
    sides = {"network_def": NETWORK | {"spatial_dims": 2}} if planar else {}
    write(tmp_path, changed(inferer={"_target_": "SliceInferer", "roi_size": [8, 8, 8]}, **sides))
    values = np.zeros((9, 10, 8), np.int16)
    values[4, 6, 2] = 150
    for axes, affine in AFFINES.items():
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "ct.nii.gz")
        case = read_bundle(tmp_path).read(tmp_path / "ct.nii.gz")
        spot = np.unravel_index(case.image[0].argmax().item(), case.image.shape[1:])
        assert np.allclose(case.affine @ [*spot, 1], affine @ [4, 6, 2, 1], atol=3), axes
        back = case.back(case.image[0].numpy())
        assert np.array_equal(np.argwhere(back == back.max()), [[4, 6, 2]]), axes


SEGRESNET = {
    "_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
    "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1], "dropout_prob": 0.2,
}  # fmt: skip
SWIN = {
    "_target_": "SwinUNETR", "spatial_dims": 3, "img_size": 96, "in_channels": 1,
    "out_channels": 3, "feature_size": 12, "use_checkpoint": False, "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
}  # fmt: skip


@pytest.mark.parametrize("node", [SEGRESNET, SWIN], ids=lambda node: node["_target_"])
def test_networks_of_the_whole_body_and_of_btcv_are_built(tmp_path, node):
    write(tmp_path, changed(network_def=node), wrapped=False)
    assert type(read_bundle(tmp_path).net).__name__ == node["_target_"]


def test_a_sigmoid_has_its_channels_from_0(tmp_path):
    post = {"_target_": "Compose", "transforms": [{"_target_": "Activationsd", "sigmoid": True}]}
    named = {"0": "whole", "1": "core", "2": "rim"}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": named}}}}
    write(tmp_path, changed(postprocessing=post), metadata)
    found = read_bundle(tmp_path)
    assert found.activation == SIGMOID
    assert found.organs == {"whole": Organ(0, 1), "core": Organ(1, 2), "rim": Organ(2, 3)}


def test_what_is_not_in_the_table_is_named_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = {"_target_": "os.mkdir", "path": "evil"}
    lambdas = {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: os.mkdir('evil')"}
    of_labels = {"_target_": "Spacingd", "keys": "label", "pixdim": "$evil()"}
    off = {"_target_": "Spacingd", "keys": "image", "pixdim": "$evil()", "_disabled_": True}
    write(tmp_path, transforms(*TRANSFORMS, lambdas, evil, off, "$os.mkdir('evil')"))
    (note,) = read_bundle(tmp_path).notes
    assert "Lambdad, os.mkdir, $os.mkdir('evil')" in note
    write(tmp_path, transforms(of_labels | {"pixdim": [1, 1, 1]}))
    assert not read_bundle(tmp_path).notes
    assert not (tmp_path / "evil").exists()


def spaced(pixdim):
    return transforms({"_target_": "Spacingd", "keys": "image", "pixdim": pixdim})


def network(**values):
    return changed(network_def=NETWORK | values)


HOSTILE = [
    (network(_target_="os.system"), "no network 'os.system'"),
    (network(_target_="evil.UNet"), "no network 'evil.UNet'"),
    (network(_target_="segtrace.models.chen2021.TransUNet"), "no network"),
    (network(channels="$__import__('os').mkdir('evil')"), "is an expression, and none is run"),
    (network(channels="@bundle_root#a"), "leads to nothing plain"),
    (network(channels="@a") | {"a": "@b", "b": "@a"}, "lead in a circle"),
    (network(channels="@network_def#channels"), "lead in a circle"),
    (network(channels="%/etc/passwd::a"), "is a macro"),
    (network(channels=[4, 8, 10**9]), "channels"),
    (network(channels=[4, 8, 60000]), "which the file does not hold"),
    (network(act={"_target_": "os.system"}), "act"),
    (changed(network_def="$monai.networks.nets.UNet()"), "_target_, and its arguments are read"),
    (changed(preprocessing="$evil()"), "a list of transforms is needed"),
    (changed(preprocessing={"transforms": "$[1] + [2]"}), "a list of transforms is needed"),
    (spaced("$[1.5] if True else [3.0]"), "pixdim=.* is an expression"),
    (spaced([0, 1, 1]), "pixdim"),
    (changed(inferer={"roi_size": [10**9, 8, 8]}), "a window of 1000000000 x 8 x 8"),
    (changed(inferer={"roi_size": [8, -1]}), "3 sides of a window"),
    (changed(inferer={"roi_size": "$[8, 8, 8]"}), "is an expression"),
]


@pytest.mark.parametrize(("inference", "words"), HOSTILE)
def test_a_hostile_bundle_is_refused_in_one_line(tmp_path, monkeypatch, inference, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    from helpers.bundles import json

    (tmp_path / "configs/inference.json").write_text(json.dumps(inference))
    with pytest.raises(InputError, match=words):
        read_bundle(tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "names no organ"),
        ({"7": "liver"}, "channels 0 to 2"),
        ({"../1": "liver"}, "channels 0 to 2"),
        ({"1": {"a": 1}}, "channels 0 to 2"),
        ({"1": "liver", "2": "liver"}, "twice"),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, named, words):
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": named}}}}
    write(tmp_path, None, metadata)
    with pytest.raises(InputError, match=words):
        read_bundle(tmp_path)


def test_weights_are_read_from_the_bundle_alone_and_hold_no_code(tmp_path):
    write(tmp_path)
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "models/model.pt"))
    with pytest.raises(InputError, match="TorchScript"):
        read_bundle(tmp_path)
    (tmp_path / "models/model.pt").rename(tmp_path / "models/model.ts")
    with pytest.raises(InputError, match=r"model.ts is a program.*torch.jit.load\('.*model.ts'\)"):
        read_bundle(tmp_path)
    (tmp_path / "models/model.ts").rename(tmp_path / "models/dynunet_FT.pt")
    with pytest.raises(InputError, match=r"model.pt does not exist; rename dynunet_FT.pt"):
        read_bundle(tmp_path)


def test_what_names_a_value_and_does_nothing_more_is_followed(tmp_path):
    """As MONAI's template of a segmentation bundle writes it."""
    image = {"keys": "@image"}
    config = changed(
        image="$monai.utils.CommonKeys.IMAGE",
        number="$@three",
        three=3,
        network_def=NETWORK | {"out_channels": "@number"},
        transforms=[
            {"_target_": "ScaleIntensityd", **image},
            {"_target_": "CropForegroundd", **image, "source_key": "@image", "mode": ["minimum"]},
        ],
        preprocessing={"_target_": "Compose", "transforms": "$@transforms"},
    )
    write(tmp_path, config | {"network_def": NETWORK})
    (tmp_path / "configs/inference.json").write_text(json.dumps(config))
    found = read_bundle(tmp_path)
    assert not found.notes
    case = found.read(scan(tmp_path / "ct.nii.gz"))
    assert (case.image.min(), case.image.max()) == (0, 1)
    circle = config | {"transforms": "$@preprocessing#transforms"}
    (tmp_path / "configs/inference.json").write_text(json.dumps(circle))
    with pytest.raises(InputError, match="in a circle"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("planar", [False, True])
def test_explain_writes_maps_and_prediction(tmp_path, monkeypatch, planar):
    monkeypatch.chdir(tmp_path)
    inference = network(spatial_dims=2) if planar else INFERENCE
    write(tmp_path / "b", inference, METADATA)
    image = scan(tmp_path / "ct.nii.gz")
    ran = answer_of("explain.py", "bundle=b", "image=ct.nii.gz", "probes.n=2", "hydra.run.dir=out")
    assert ran.code == 0, ran.err
    found = nibabel.load(tmp_path / "out/prediction.nii.gz")
    assert np.array_equal(found.affine, nibabel.load(image).affine)
    foreign = read_bundle(tmp_path / "b")
    logits = foreign.logits(foreign.read(image)).argmax(0)
    logits = logits.permute(1, 2, 0) if planar else logits
    # The grid of the image in another order: right to left, front to back.
    assert np.array_equal(np.asarray(found.dataobj), logits.numpy()[::-1, ::-1])
    assert list((tmp_path / "out/maps").glob("liver_*.nii.gz"))
    refused = answer_of("explain.py", "bundle=b")
    assert "say which image" in refused.err
