"""Slices chosen from a loader, and the true reason where none can be watched."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, TensorDataset

from segtrace import InputError
from segtrace.activation import Organ
from segtrace.network.guards import channels
from segtrace.training.slices.probing import probes_from
from training.slices.test_validation_batches import Endless, slice_of

ORGANS = {"box": 1}


class Transformed(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.transform(*slice_of(index))


def crop(image, label):
    row, column = torch.randint(0, 9, (2,)).tolist()
    return image[..., row : row + 8, column : column + 8], label[row : row + 8, column : column + 8]


def flip(image, label):
    if torch.rand(()) < 0.5:
        return image.flip(-1), label.flip(-1)
    return image, label


def noise(image, label):
    return image + 0.1 * torch.randn(image.shape), label


@pytest.mark.parametrize("transform", [crop, flip])
def test_random_transforms_are_named_as_such_and_not_as_shuffling(transform):
    torch.manual_seed(0)
    loader = DataLoader(Transformed(transform), batch_size=4)
    with pytest.raises(InputError) as found:
        probes_from(loader, ORGANS, 3, instead=", or else")
    assert "changes its slices at random each time it is read" in str(found.value)
    assert "leave random transforms out of its data set, or else" in str(found.value)
    assert "shuffle" not in str(found.value)


@pytest.mark.parametrize("most", [float("inf"), 1])
def test_shuffling_is_named_as_such(most):
    torch.manual_seed(0)
    data = TensorDataset(*map(torch.stack, zip(*map(slice_of, range(12)), strict=True)))
    drawing = {"shuffle": True}, {"sampler": SubsetRandomSampler(range(12))}
    for options in drawing:
        with pytest.raises(InputError, match=r"loader shuffles, .*make it with shuffle=False"):
            probes_from(DataLoader(data, batch_size=3, **options), ORGANS, 3, most=most)
    probes = probes_from(DataLoader(data, batch_size=3, shuffle=False), ORGANS, 3, most=most)
    assert len(probes) == 3  # the remedy works


def test_noise_on_images_leaves_one_reading_of_them_to_watch():
    torch.manual_seed(0)
    probes = probes_from(DataLoader(Transformed(noise), batch_size=4), ORGANS, 3)
    assert torch.equal(probes.labels[0].long(), slice_of(probes.slices[0])[1])


def test_a_loader_without_an_end_is_read_as_far_as_is_said():
    probes = probes_from(DataLoader(Endless(), batch_size=4), ORGANS, 3, most=2)
    assert probes.slices[0] < 8


def test_a_loader_that_gives_nothing_is_one_line():
    with pytest.raises(InputError, match="no slice shows any of the organs"):
        probes_from(DataLoader(Transformed(noise), batch_size=4), ORGANS, 3, most=0)


def test_where_no_organ_is_shown_the_labels_that_there_are_are_named():
    """A mask of 0 and 255, as image files hold them."""
    label = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    label[:, :, :4] = 255
    bare = DataLoader(TensorDataset(torch.rand(2, 1, 8, 8), label))
    with pytest.raises(InputError, match="no slice shows any of the organs") as caught:
        probes_from(bare, {"tumour": 1, "cyst": Organ(1, 2)}, 3)
    said = str(caught.value)
    assert ": labels tumour (1), cyst (2) were looked for, and the slices hold 0, 255" in said
    apart = eval(said.split("its channel: ")[1].split(")")[0].replace("…", "0"))
    assert probes_from(bare, channels("organs", apart), 3).labels.unique().tolist() == [0, 255]
    masks = DataLoader(TensorDataset(torch.rand(2, 1, 8, 8), torch.zeros(2, 2, 8, 8)))
    with pytest.raises(InputError, match="organs: their masks are empty; choose other"):
        probes_from(masks, {"tumour": 1, "cyst": 2}, 3, activation="sigmoid")


def test_what_can_be_read_only_once_is_refused_before_it_is_used_up():
    batches = iter(DataLoader(Transformed(noise), batch_size=4))
    with pytest.raises(InputError, match=r"is used up by reading: give what it was made from, or"):
        probes_from(batches, ORGANS, 3, instead=", or else")
    assert len(list(batches)) == 3
    generator = (batch for batch in [slice_of(0)])
    with pytest.raises(InputError, match="a generator is used up by reading"):
        probes_from(generator, ORGANS, 3)


def labelled(label, **keys):
    """A loader of one batch."""
    return [{"image": torch.rand(len(label), 1, 4, 4), "label": label, **keys}]


BOXED = torch.zeros(2, 4, 4)
BOXED[0, :2], BOXED[1, :1] = 1, 2


@pytest.mark.parametrize("factor", [1, 1.00005, 0.99995])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_label_near_a_whole_number_is_that_number(factor, kind):
    probes = probes_from(labelled(BOXED.to(kind) * factor), {"a": 1, "b": 2})
    assert probes.labels.dtype == torch.uint8
    assert torch.equal(probes.labels.long(), BOXED.long())


def test_labels_of_any_whole_type_are_themselves():
    for kind in (torch.uint8, torch.int16, torch.uint16, torch.int64, torch.float16):
        assert torch.equal(
            probes_from(labelled(BOXED.to(kind)), {"a": 1}).labels[0].float(), BOXED[0]
        )


@pytest.mark.parametrize("number", [257, -255, -1, 256, 65537, 2**40 + 1])
def test_a_number_that_no_byte_holds_is_no_organ(number):
    label = BOXED.long()
    label[:, 3] = number
    for organs in ({"a": 1, "b": 2}, {"a": 1, "rest": 0, "all": 255}):
        labels = probes_from(labelled(label), organs).labels
        assert (labels == 1).sum() == 8
        assert not set(labels[:, 3].unique().tolist()) & set(organs.values())


@pytest.mark.parametrize("value", [1.9, 0.5, float("nan"), float("inf")])
def test_a_label_between_whole_numbers_is_refused(value):
    label = BOXED.clone()
    label[0, 3, 3] = value
    with pytest.raises(InputError, match=f"validation loader's label holds {value:g}; a label"):
        probes_from(labelled(label), ORGANS)
    if value == value:
        mended = label.nan_to_num().round().clamp(0, 255).long()
        assert len(probes_from(labelled(mended), ORGANS)) == 1


def test_an_organ_beyond_a_byte_is_refused():
    with pytest.raises(
        InputError, match="organ 'a' has channel 257; slices hold channels 0 to 255"
    ):
        probes_from(labelled(BOXED.long()), {"a": 257})


@pytest.mark.parametrize(
    ("case", "slices"),
    [
        (torch.tensor([7, 7]), torch.tensor([3, 4])),
        ([torch.tensor(7), torch.tensor([7])], [torch.tensor(3.0), 4]),
        ((7, "7"), (3, 4)),
        (np.array(["7", "7"]), np.array([3, 4], np.int16)),
        (np.array([7.0, 7.0]), [np.int64(3), np.float32(4)]),
    ],
)
def test_a_case_and_its_slices_are_named_by_what_the_numbers_say(case, slices):
    probes = probes_from(labelled(BOXED, case=case, slice=slices), {"a": 1, "b": 2})
    assert (probes.cases, probes.slices) == (("7", "7"), (3, 4))


DEEP = torch.zeros(3, 2, 4, 4, dtype=torch.long)
DEEP[0, 0, :2], DEEP[1, :, :1], DEEP[2, 1, 3] = 1, 1, 2


@pytest.mark.parametrize("masks", [False, True])
def test_volumes_are_chosen_by_their_voxels(masks):
    image = torch.rand(3, 1, 2, 4, 4)
    label = torch.stack([c == DEEP for c in range(3)], 1) if masks else DEEP
    batch = {"image": image, "label": label, "case": ["p", "q", "r"], "slice": [0, 0, 0]}
    activation = "sigmoid" if masks else None
    organs = {"a": Organ(1, 1), "b": Organ(2, 2)}
    probes = probes_from([batch], organs, 2, activation=activation)
    assert probes.cases == ("p", "r")  # of two with as many voxels the first
    assert torch.equal(probes.images, image[[0, 2]])
    assert torch.equal(probes.labels, label[[0, 2]].to(probes.labels.dtype))
    assert (tuple(probes.spacing.shape), probes.axcodes) == ((2, 3), "")
    with pytest.raises(
        InputError, match=r"volumes \(B, C, D, H, W\) and label maps \(B, D, H, W\)"
    ):
        probes_from([{**batch, "label": label[..., :3]}], organs, 2, activation=activation)


def test_a_loader_says_whereto_the_axes_of_its_volumes_run():
    class Said(list):
        axcodes = "RAS"

    batch = {"image": torch.rand(3, 1, 2, 4, 4), "label": DEEP}
    assert probes_from(Said([batch]), {"a": 1}).axcodes == "RAS"
    for wrong in (0, "RA", "RLS", "XYZ", "RASS", ("R", "A", "S")):
        Said.axcodes = wrong
        with pytest.raises(InputError, match=r"the loader's axcodes are .*three letters, one of L"):
            probes_from(Said([batch]), {"a": 1})
    Said.sides_known = True
    assert probes_from(Said([batch]), {"a": 1}).axcodes == "SPL"


@pytest.mark.parametrize("case", [None, "77", ["7"], ["7", "8", "9"], ["7", None], [0.5, 1], 7])
def test_names_that_are_not_one_an_image_are_one_line(case):
    with pytest.raises(InputError) as found:
        probes_from(labelled(BOXED, case=case, slice=[3, 4]), ORGANS)
    assert "'case' of the validation loader's batch of 2 is" in str(found.value)
    assert "give a list of names or whole numbers, one an image" in str(found.value)


@pytest.mark.parametrize(
    "slices", [None, 3, ["s0", "s1"], [3], [3, 4.5], [3, True], torch.tensor(3), {0: 3, 1: 4}]
)
def test_numbers_of_slices_that_are_not_one_an_image_are_one_line(slices):
    with pytest.raises(InputError) as found:
        probes_from(labelled(BOXED, case=["7", "7"], slice=slices), ORGANS)
    assert "'slice' of the validation loader's batch of 2 is" in str(found.value)
    assert "give a list of whole numbers, one an image" in str(found.value)
