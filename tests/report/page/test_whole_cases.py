import numpy as np

from segtrace.report.page.whole_cases import NAMES, WholeCases

CASES = {"a": {"voxel_ml": 0.5, "truth_ml": {"liver": 100.0, "spleen": 0.0}}}
FOUND = {"a": {"liver": {"dice": 0.9, "voxels": 180}}, "b": {"liver": {"dice": 0.7, "voxels": 9}}}


def test_voxels_become_ml_and_what_is_not_known_is_nan():
    whole = WholeCases.from_plain(CASES, FOUND)
    tables = {name: whole.table(name, ["liver", "spleen"], ["a", "b", "a"]) for name in NAMES}
    nan = np.nan
    np.testing.assert_array_equal(tables["truth_ml"], [[100, nan, 100], [0, nan, 0]])
    np.testing.assert_array_equal(tables["found_ml"], [[90, nan, 90], [nan, nan, nan]])
    np.testing.assert_allclose(tables["dice"], [[0.9, 0.7, 0.9], [nan, nan, nan]])


def test_a_checkpoint_of_before_says_nothing_of_whole_cases():
    assert np.isnan(WholeCases.from_plain({}, {}).table("dice", ["liver"], ["a"])).all()
