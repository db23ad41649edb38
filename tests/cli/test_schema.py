import re

import pytest

from segtrace import InputError
from segtrace.cli.schema import check


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("spacing", 0, r"data.spacing=0; give three sizes in mm, left-right, .*\[1.5,1.5,2\]"),
        ("spacing", ["a", "b", "c"], r"data.spacing=\[a,b,c\]; give three sizes in mm"),
        ("patch", 96.5, r"data.patch=96.5; give three whole numbers of voxels"),
        ("size", None, "data.size=null; give 1 to 4096 pixels"),
        ("window", [1], r"data.window=\[1\]; give \[low, high\] in HU, .*zscore"),
        ("organs", 5, "data.organs=5; give synapse8, btcv13, all, or names"),
        ("phantom_shape", 64, "data.phantom_shape=64; give three whole numbers of voxels"),
    ],
)
def test_a_value_of_another_kind_is_answered_by_what_the_option_may_be(option, value, message):
    data = {"_target_": "segtrace.data.modules.PhantomData", option: value}
    with pytest.raises(InputError, match=rf"^{message}[^\n]*$"):
        check({"data": data}, ("data",))


@pytest.mark.parametrize("value", [5, 0.5, True, "abc", [1]])
@pytest.mark.parametrize("group", ["callbacks", "logger", "explainers"])
def test_a_value_in_the_place_of_one_of_several_is_one_clear_line(group, value):
    refused = rf"^{group}.rise={re.escape(repr(value))}; name its class, {group}.rise._target_=…"
    with pytest.raises(InputError, match=refused):
        check({group: {"rise": value}}, (group,))
    # Also where another is asked for that was given options alone, and those of class are told.
    with pytest.raises(InputError, match=rf"^{group}.other has no class; .*{group}.other._target_"):
        check({group: {"other": {"masks": 9}, "rise": value}}, (group,))
