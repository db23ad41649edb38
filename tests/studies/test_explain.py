"""Explain from Python, without the scripts."""

import json
import zlib
from base64 import b64decode

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from captum.attr import LayerGradCam
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.checkpoint.description_keys import Explaining
from segtrace.report.captions import paragraph
from segtrace.report.files import load_maps
from segtrace.report.pictures.strip import count
from segtrace.tracking.explained import Settings


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def loader(shuffle=False):
    label = torch.zeros(5, 16, 16, dtype=torch.long)
    label[1, 2:8, 2:8] = 1
    label[3, 9:14, 9:14] = 2
    image = label[:, None] / 2 + torch.rand(
        5, 1, 16, 16, generator=torch.Generator().manual_seed(0)
    )
    return DataLoader(TensorDataset(image, label), batch_size=2, shuffle=shuffle)


STAGES = {"enc": "1", "head": "2"}
LABELS = {"box": 1, "corner": 2}


def test_one_call_explains_any_network_on_any_loader(tmp_path):
    explained = segtrace.explain(net(), loader(), STAGES, LABELS, out=tmp_path, slices=2)
    assert explained.record.scene.slices == (1, 3)  # where each organ is largest
    again = load_maps(tmp_path / "maps.npz")
    assert torch.equal(again.flow.maps["enc"], explained.record.flow.maps["enc"])
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    own = {f"figures/{r}/{o}.png" for r in ("seg_grad_cam", "grad_pam") for o in LABELS}
    own |= {"maps.npz", "measures.csv", "manifest.json"}
    wrong = {f"{region}/{name}" for region in ("fp", "fn") for name in own}
    # The network puts no corner where there is none: nothing to draw.
    wrong -= {f"fp/figures/{r}/corner.png" for r in ("seg_grad_cam", "grad_pam")}
    assert found == own | wrong | {"index.html"}


@pytest.mark.parametrize("said", [True, False, None])
def test_images_are_a_phantoms_only_where_the_loader_says_so(said):
    made = loader()
    if said is not None:
        made.dataset.phantom = said
    explained = segtrace.explain(net(), made, STAGES, LABELS, slices=1)
    assert explained.record.scene.phantom is (said is True)


def test_the_patients_sides_are_named_only_where_the_loader_says_so(tmp_path):
    """Whoever gives a loader of tensors has not said which column is the patient's right."""
    batches = loader()
    unknown = segtrace.explain(net(), batches, STAGES, LABELS, out=tmp_path, slices=1)
    assert not unknown.record.scene.sides_known
    assert '"sides": false' in (tmp_path / "index.html").read_text()
    assert '"hounsfield": false' in (tmp_path / "index.html").read_text()
    assert not load_maps(tmp_path / "maps.npz").scene.sides_known
    batches.dataset.sides_known = True
    known = segtrace.explain(net(), batches, STAGES, LABELS, slices=1)
    assert known.record.scene.sides_known
    pictures = [one.picture("grad_pam", "box") for one in (known, unknown)]
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any()
    batches.dataset.sides_known = "no"
    assert not segtrace.explain(net(), batches, STAGES, LABELS, slices=1).record.scene.sides_known


def test_an_organ_named_as_something_else_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"organ 'mean': .*e.g. mean_1"):
        segtrace.explain(net(), loader(), STAGES, {"mean": 1}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_lost_are_named(tmp_path):
    broken = net()
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    with pytest.warns(UserWarning, match=r"weights 0.weight hold NaN or infinity: "):
        explained = segtrace.explain(broken, loader(), STAGES, LABELS)
    status = explained.record.flow.status[0]  # of the first stage
    assert set(status.flatten().tolist()) <= {Status.NONFINITE, Status.ABSENT}


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    segtrace.explain(net(), loader(), STAGES, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_a_loader_that_shuffles_is_refused():
    torch.manual_seed(1)
    with pytest.raises(segtrace.InputError, match="shuffles"):
        segtrace.explain(net(), Shuffling(), STAGES, LABELS)


class Shuffling:
    """The same slices, in another order each time."""

    def __init__(self):
        self.turn = 0

    def __iter__(self):
        self.turn += 1
        batches = list(loader())
        return iter(batches if self.turn == 1 else batches[::-1])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("nonsense", "the validation loader gives str: let the loader give that"),
        ({"image": torch.ones(2, 1, 8, 8)}, "the validation loader gives dict: let"),
        (
            (torch.ones(2, 1, 8, 8), torch.ones(2, 3, 8, 8)),
            r"masks \(2, 3, 8, 8\), .*: say activation='sigmoid' .* where .*, else let",
        ),
        (
            (torch.ones(2, 1, 8, 8, 8), torch.ones(2, 8, 8)),
            r"volumes \(B, C, D, H, W\) and label maps",
        ),
    ],
)
def test_batches_of_another_kind_are_named_with_what_is_read(batch, message):
    with pytest.raises(segtrace.InputError, match=message) as found:
        segtrace.explain(net(), [batch], STAGES, LABELS)
    assert "FlowCallback also takes" in str(found.value)  # explain itself has no such option
    segtrace.explain(net(), loader(), STAGES, LABELS)


def of(channels):
    torch.manual_seed(channels)
    one = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, channels, 1))
    image = torch.cat([batch[0] for batch in loader()])
    with torch.no_grad():  # every channel is above 0 in half of the pixels
        one[2].bias -= one(image).transpose(0, 1).flatten(1).median(1).values
    return one


@pytest.mark.parametrize("region", ["gt", "pred", "all", "border", "all_pred"])
def test_a_network_of_one_channel_is_explained_behind_its_sigmoid(region, tmp_path):
    one, settings = of(1), Settings(rules=["grad_pam"], region=region)
    found = segtrace.explain(one, loader(), STAGES, {"box": 1}, tmp_path / "o", settings=settings)
    record = found.record
    logits = one(record.scene.image)
    assert torch.equal(record.flow.prediction, logits > 0)
    assert record.scene.channels == {"box": Organ(0, 1)}
    there = record.scene.truth == 1
    assert record.scene.dice("box", record.flow.prediction) == pytest.approx(
        float(2 * ((logits[:, 0] > 0) & there).sum() / ((logits > 0).sum() + there.sum()))
    )
    again = load_maps(tmp_path / "o" / "maps.npz")
    assert torch.equal(again.flow.prediction, record.flow.prediction)
    assert (again.flow.activation, again.scene.channels) == ("sigmoid", record.scene.channels)
    page = (tmp_path / "o" / "index.html").read_text()
    data = json.loads(page.split('id="data"', 1)[1].split(">", 1)[1].split("</script>")[0])
    assert (data["apart"], data["channels"], data["names"]) == (True, [0], {"0": "box"})
    shown = np.frombuffer(zlib.decompress(b64decode(data["frames"][-1]["prediction"])), np.uint8)
    assert shown.sum() == int((logits > 0).sum())


def test_organs_that_overlap_are_explained_by_their_masks(tmp_path):
    three = of(3)
    images = torch.cat([batch[0] for batch in loader()])
    masks = torch.stack([images[:, 0] > cut for cut in (0.2, 0.5, 0.8)], 1)
    batches = [(image[None], mask[None]) for image, mask in zip(images, masks, strict=True)]
    organs = {"whole": 1, "core": 2, "spot": 3}
    with pytest.raises(InputError, match="say activation='sigmoid'"):
        segtrace.explain(three, batches, STAGES, organs)
    found = segtrace.explain(
        three, batches, STAGES, organs, tmp_path / "o", activation="sigmoid",
        settings=Settings(rules=["grad_pam"], measures="all"),
    )  # fmt: skip
    record = found.record
    assert record.scene.truth.shape == (len(record.scene.cases), 3, *images.shape[2:])
    assert torch.equal(record.flow.prediction, three(record.scene.image) > 0)
    expected = segtrace.trace(
        three, STAGES, record.scene.image,
        {name: record.scene.truth * (torch.arange(3) == k)[:, None, None] * 1.0
         for k, name in enumerate(organs)}, ["grad_pam"], activation="sigmoid",
    )  # fmt: skip
    assert torch.equal(record.flow.maps["enc"], expected.maps["enc"])
    page = (tmp_path / "o" / "index.html").read_text()
    data = json.loads(page.split('id="data"', 1)[1].split(">", 1)[1].split("</script>")[0])
    top, left, height, width = data["crop"]
    bits = np.frombuffer(zlib.decompress(b64decode(data["truth"])), np.uint8)
    for k in range(3):
        mask = record.scene.truth[:, k, top : top + height, left : left + width].numpy()
        assert np.array_equal(bits.reshape(mask.shape) >> k & 1, mask)


def overlapping(images):
    masks = torch.stack([images[:, 0] > cut for cut in (0.2, 0.5, 0.8)], 1)
    return [(image[None], mask[None]) for image, mask in zip(images, masks, strict=True)]


def test_the_number_of_a_label_changes_no_measure():
    batches = overlapping(torch.cat([batch[0] for batch in loader()]))
    asked = Settings(rules=["grad_pam"], measures="all")
    one, other = (
        segtrace.explain(of(3), batches, STAGES, {"core": {"channel": 1, "label": label}},
                         activation="sigmoid", settings=asked).measures
        for label in (0, 1)
    )  # fmt: skip
    assert float(one["locality"].max()) > 0.01
    assert one.equals(other)


@pytest.mark.parametrize("region", ["gt", "pred", "all"])
def test_masks_of_other_channels_than_the_logits_are_refused_whatever_the_region(region):
    batches = overlapping(torch.cat([batch[0] for batch in loader()]))
    four = [(image, torch.cat([mask[:, :1], mask], 1)) for image, mask in batches]
    two = [(image, mask[:, :2]) for image, mask in batches]
    asked = Settings(rules=["grad_pam"], region=region)
    organs = {"whole": {"channel": 0, "label": 1}, "spot": {"channel": 2, "label": 3}}
    for others in (four, two):
        with pytest.raises(InputError, match="masks"):
            segtrace.explain(of(3), others, STAGES, organs, activation="sigmoid", settings=asked)
    with pytest.raises(InputError, match="channel 7"):
        segtrace.explain(of(3), batches, STAGES, {"whole": {"channel": 7, "label": 1}},
                         activation="sigmoid", settings=asked)  # fmt: skip


@pytest.mark.filterwarnings("ignore:FlowCallback found no", "ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec", "ignore:.*dataloader.*")
def test_a_callback_watches_organs_that_overlap_and_says_that_no_leakage_is_told(tmp_path, capsys):
    pairs = overlapping(torch.cat([batch[0] for batch in loader()]))
    batches = DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*pairs, strict=True))))

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = of(3)

        def training_step(self, batch, _):
            return functional.binary_cross_entropy_with_logits(self.net(batch[0]), batch[1].float())

        def validation_step(self, batch, _):
            return None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    organs = {"whole": 1, "core": 2, "spot": 3}
    watch = segtrace.FlowCallback(stages=STAGES, organs=organs, activation="sigmoid", probes=2,
                                  folder=str(tmp_path / "flow"))  # fmt: skip
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary",
                           "enable_checkpointing"), False)  # fmt: skip
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", callbacks=[watch], num_sanity_val_steps=0,
                         log_every_n_steps=1, default_root_dir=tmp_path, **quiet)  # fmt: skip
    trainer.fit(Module(), batches, batches)
    assert (tmp_path / "flow" / "epoch_001" / "overview.png").is_file()
    assert (tmp_path / "flow" / "timeline.csv").is_file()
    assert not (tmp_path / "flow" / "leakage.csv").exists()
    assert capsys.readouterr().out.count("Organs overlap, so that no pixel belongs to one") == 1


def test_an_activation_is_said_once():
    with pytest.raises(InputError, match="activation=sigmoid, and softmax in settings; say one"):
        segtrace.explain(
            net(), loader(), STAGES, LABELS, activation="sigmoid",
            settings=Settings(rules=["grad_pam"], activation="softmax"),
        )  # fmt: skip


def test_the_logits_of_a_network_that_returns_a_dictionary_are_picked_as_it_says():
    class Torchvision(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            logits = self.net(x)
            return {"out": logits, "aux": logits + 1}

    stages = {name: f"net.{path}" for name, path in STAGES.items()}
    with pytest.raises(InputError, match="returns a dict; say output=") as found:
        segtrace.explain(Torchvision(), loader(), stages, LABELS)
    typed = str(found.value).split("e.g. output=")[1].split(", or")[0]
    explained = segtrace.explain(Torchvision(), loader(), stages, LABELS, output=eval(typed))
    expected = segtrace.explain(net(), loader(), STAGES, LABELS)
    maps, others = explained.record.flow.maps, expected.record.flow.maps
    assert torch.equal(maps["enc"], others["enc"])


def test_an_aggregate_is_worked_out_only_where_it_is_asked_for():
    stages = {"dec1": "1", "head": "2"}
    settings = Settings(rules=["grad_pam"], aggregate="minmax")
    plain = segtrace.explain(net(), loader(), stages, LABELS, slices=2)
    explained = segtrace.explain(net(), loader(), stages, LABELS, slices=2, settings=settings)
    assert plain.record.aggregate is None
    assert explained.record.aggregate.stages == ("dec1",)
    assert count(explained.record) == count(plain.record) + 1


@pytest.mark.parametrize("how", ["minmax", "max"])
def test_an_aggregate_may_take_the_encoder_too(how):
    """The mean over encoder and decoder of the maps, each scaled by itself; never the head."""
    stages = {"enc1": "0", "dec1": "1", "head": "2"}
    settings = Settings(rules=["grad_pam"], aggregate=f"{how}_all")
    record = segtrace.explain(net(), loader(), stages, LABELS, slices=2, settings=settings).record
    assert record.aggregate.stages == ("enc1", "dec1")
    signed = [record.flow.maps[name][0, 0, 0].clamp(min=0) for name in ("enc1", "dec1")]
    least = [one.min() if how == "minmax" else 0.0 for one in signed]
    scaled = [(one - low) / (one.max() - low) for one, low in zip(signed, least, strict=True)]
    torch.testing.assert_close(record.aggregate.map[0, 0, 0], (scaled[0] + scaled[1]) / 2)
    figure = paragraph([record], ["box"], "grad_pam", "", [], "", "")
    assert "mean of the maps of enc1 and dec1" in figure
    assert {"minmax": "mullan2022", "max": "mullan2023"}[how] in figure
    TypeAdapter(Explaining).validate_python(settings.to_plain())  # a checkpoint may hold it


def test_an_aggregate_that_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"no way to aggregate 'mimax'.*did you mean minmax"):
        Settings(rules=["grad_pam"], aggregate="mimax")
    settings = Settings(rules=["grad_pam"], aggregate="max")
    with pytest.raises(InputError, match="no stage begins with dec; name some of enc, head"):
        segtrace.explain(net(), loader(), STAGES, LABELS, settings=settings)


@pytest.mark.parametrize("channel", [7, 255, -1])
def test_an_organ_beyond_the_networks_channels_is_named_with_those(channel):
    wanted = rf"organ 'a' has channel {channel}; (the network has channels 0 to 2|slices hold)"
    with pytest.raises(InputError, match=wanted):
        segtrace.explain(net(), loader(), STAGES, {"a": channel})
    bare = DataLoader(TensorDataset(torch.rand(2, 1, 16, 16), torch.zeros(2, 16, 16)))
    with pytest.raises(InputError, match="no slice shows any of the organs"):
        segtrace.explain(net(), bare, STAGES, {"a": 2})


def test_channels_of_numpy_are_written_as_plain_numbers(tmp_path):
    found = segtrace.explain(net(), loader(), STAGES, {"box": np.int64(1)}, out=tmp_path / "o")
    assert load_maps(tmp_path / "o" / "maps.npz").scene.channels == {"box": 1}
    assert type(found.record.scene.channels["box"]) is int


def test_a_proposal_is_explained_where_it_is_asked_for_and_said(capsys):
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
            self.up, self.last = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, 3, 1)

        def forward(self, x):
            fine = self.down(x)
            return self.last(torch.cat([fine, self.up(self.deep(fine).relu())], 1))

    torch.manual_seed(0)
    own = UNet()
    explained = segtrace.explain(own, loader(), "proposed", LABELS)
    assert explained.record.flow.sites == ("enc1", "enc2", "dec1", "head")
    said = capsys.readouterr().out
    assert said.count("The places of UNet are a proposal: enc1 down (16x16), enc2 deep") == 1
    with pytest.raises(InputError, match="say stages='proposed' to take") as found:
        segtrace.explain(own, loader(), None, LABELS)
    assert "inc" not in str(found.value)


def test_a_network_of_three_channels_is_given_what_it_was_trained_on():
    three = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))
    with pytest.raises(InputError, match="takes images of 3 channels"):
        segtrace.explain(three, loader(), STAGES, LABELS)
    asked = {"channels": "repeat", "mean": 0.5, "std": 2.0, "values": "unit"}
    explained = segtrace.explain(three, loader(), STAGES, LABELS, preprocessing=asked)
    assert not three._forward_pre_hooks
    scene = explained.record.scene
    assert scene.image.shape[1] == 1  # shown as the loader gives it
    x = ((scene.image - 0.5) / 2).expand(-1, 3, -1, -1)
    target = targets.organs(LABELS, "gt", scene.truth.long())
    expected = segtrace.trace(three, STAGES, x, target)
    torch.testing.assert_close(explained.record.flow.maps["enc"][:1], expected.maps["enc"])


@pytest.mark.parametrize("region", ["gt", "pred", "all"])
def test_logits_of_another_size_than_the_labels_are_refused_whatever_the_region(region):
    coarse = nn.Sequential(*net(), nn.AvgPool2d(2))
    settings = Settings(rules=["grad_pam"], region=region)
    with pytest.raises(InputError, match=r"the logits ask for \(2, 8, 8\): output=") as found:
        segtrace.explain(coarse, loader(), STAGES, LABELS, slices=2, settings=settings)
    output = eval(str(found.value).split("output=")[1].removesuffix(" resizes them"))
    segtrace.explain(coarse, loader(), STAGES, LABELS, slices=2, settings=settings, output=output)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_classifier_is_explained_on_a_loader_of_classes(activation, tmp_path):
    torch.manual_seed(5)
    one = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Linear(6, 3))  # fmt: skip
    x, classes = torch.rand(6, 1, 16, 16), torch.tensor([0, 1, 2, 1, 0, 2])
    if activation == "sigmoid":
        labels, organs = functional.one_hot(classes, 3), {"ring": 1, "box": 2, "cross": 3}
    else:
        labels, organs = classes, {"box": 1, "cross": 2}
    settings = Settings(rules=["seg_grad_cam"], measures="all", activation=activation)
    found = segtrace.explain(
        one, [(x, labels)], {"last": "2"}, organs, tmp_path / "o", settings=settings
    )
    assert (tmp_path / "o" / "index.html").is_file()
    flow, seen = found.record.flow, found.record.scene
    for o, name in enumerate(("box", "cross"), len(organs) - 2):
        n, channel = int((classes == o + 3 - len(organs)).nonzero()[0, 0]), o + 3 - len(organs)
        captum = LayerGradCam(one, one[2]).attribute(x[n : n + 1], target=channel)[0, 0]
        torch.testing.assert_close(flow.maps["last"][0, o, seen.slices.index(n)], captum.detach())
        assert int(flow.region_px[o].sum()) == sum(bool(classes[k] == channel) for k in seen.slices)
        assert name in flow.organs
    assert np.isnan(found.measures["gain"]).all()  # a whole image has no elsewhere
    with pytest.raises(InputError, match="is a classifier"):
        segtrace.explain(one, loader(), {"last": "2"}, organs, settings=settings)
