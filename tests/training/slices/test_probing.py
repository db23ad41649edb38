"""Slices chosen from a loader, and the true reason where none can be watched."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, TensorDataset

from segtrace import InputError
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
    assert len(probes) == 1  # the remedy works; no slice holds two organs


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


def test_what_can_be_read_only_once_is_refused_before_it_is_used_up():
    batches = iter(DataLoader(Transformed(noise), batch_size=4))
    with pytest.raises(InputError, match=r"is used up by reading: give what it was made from, or"):
        probes_from(batches, ORGANS, 3, instead=", or else")
    assert len(list(batches)) == 3
    generator = (batch for batch in [slice_of(0)])
    with pytest.raises(InputError, match="a generator is used up by reading"):
        probes_from(generator, ORGANS, 3)
