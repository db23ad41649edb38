from dataclasses import replace

import numpy as np
import pytest
import torch

from segtrace.errors import InputError
from segtrace.report.record import pack, unpack


def test_every_array_loads_without_pickle(record):
    assert all(values.dtype.kind in "fiubU" for values in pack(record).values())


def test_a_stage_named_like_another_array_is_refused(record):
    maps = {"enc1": torch.zeros(2, 3, 3, 2, 2), "scores": torch.zeros(2, 3, 3, 2, 2)}
    with pytest.raises(InputError, match="'scores'; rename the stage"):
        pack(replace(record, flow=replace(record.flow, maps=maps)))


def test_patient_images_are_left_out_on_request(record):
    arrays = pack(record, embed=False)
    assert not {"image", "truth"} & set(arrays)
    scene = unpack(arrays).scene
    assert scene.truth is None
    assert scene.image.shape == record.scene.image.shape
    assert int(scene.image.count_nonzero()) == 0


@pytest.mark.parametrize("known", ["sides_known", "hounsfield_known", "taught_by_phantom"])
def test_what_is_known_of_sides_and_values_comes_back(record, known):
    record = replace(record, scene=replace(record.scene, **{known: True}))
    assert getattr(unpack(pack(record)).scene, known)
    unknown = replace(record, scene=replace(record.scene, **{known: False}))
    assert not getattr(unpack(pack(unknown)).scene, known)
    arrays = pack(record)
    del arrays[known]  # of a file that says nothing of it
    assert not getattr(unpack(arrays).scene, known)


def test_an_organ_is_missed_by_its_own_prediction_and_truth(record):
    assert not record.missed("liver")
    nothing = replace(record.flow, prediction=torch.zeros_like(record.flow.prediction))
    assert replace(record, flow=nothing).missed("liver")


def test_an_unknown_epoch_stays_unknown(record):
    assert unpack(pack(replace(record, epoch=None))).epoch is None
    assert unpack(pack(replace(record, epoch=0))).epoch == 0


def test_the_arrays_have_the_names_and_shapes_of_the_documentation(record):
    arrays = pack(record)
    assert arrays["enc2"].shape == (2, 3, 3, 4, 4)
    np.testing.assert_array_equal(arrays["rules"], ["seg_grad_cam", "grad_pam"])
    np.testing.assert_array_equal(arrays["organs"], ["left_kidney", "liver", "spleen"])
    np.testing.assert_array_equal(arrays["slices"], [11, 12, 5])
    assert str(arrays["score"]) == "logit"
    assert int(arrays["epoch"]) == 7
    assert arrays["status_names"][arrays["status"].max()] == "absent"


def test_what_integration_adds_comes_back(record):
    change = torch.rand(3, 3, 3)
    integrated = replace(record, flow=replace(record.flow, change=change))
    assert torch.equal(unpack(pack(integrated)).flow.change, change)
    assert unpack(pack(record)).flow.change is None


def test_the_pixel_size_comes_back_where_it_is_known(record):
    assert unpack(pack(record)).scene.spacing is None
    spacing = torch.tensor([[0.7, 0.8], [torch.nan, torch.nan], [1.0, 1.0]], dtype=torch.float64)
    known = replace(record, scene=replace(record.scene, spacing=spacing))
    found = unpack(pack(known, embed=False)).scene.spacing
    torch.testing.assert_close(found, spacing, rtol=0, atol=0, equal_nan=True)


def test_a_stage_of_any_name_comes_back_and_is_no_path_in_the_archive(record):
    names = ("../../enc1", "Enc2", "enc2")
    maps = dict(zip(names, record.flow.maps.values(), strict=True))
    odd = replace(record, flow=replace(record.flow, maps=maps))
    arrays = pack(odd)
    assert not [name for name in arrays if "/" in name or ".." in name]
    assert len({name.casefold() for name in arrays}) == len(arrays)
    again = unpack(arrays).flow
    assert again.stages == names
    assert all(torch.equal(again.maps[name], maps[name]) for name in names)
