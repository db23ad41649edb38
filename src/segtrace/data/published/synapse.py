"""Synapse (BTCV) as the published tables use it: 30 cases, 18 to train on and 12 to test on.

Read in the lists that TransUNet distributes (Beckschen/TransUNet, lists/lists_Synapse).
"""

TRAIN_SLICES: dict[str, int] = {
    "0031": 93, "0007": 163, "0009": 149, "0005": 117, "0026": 131, "0039": 90,
    "0024": 124, "0034": 98, "0033": 104, "0030": 153, "0023": 96, "0040": 195,
    "0010": 148, "0021": 143, "0006": 131, "0027": 88, "0028": 89, "0037": 99,
}  # fmt: skip
"""Training case -> its slices, all of them; in the order of ``train.txt``."""

TEST_LIST = (
    "0008", "0022", "0038", "0036", "0032", "0002", "0029", "0003", "0001", "0004", "0025", "0035"
)  # fmt: skip
"""Test cases, in the order of ``test_vol.txt``."""

SLICES = 3779
"""Of all 30 cases together; the lists leave 1568 of them to the 12 test cases."""
