"""How often two maps and a control named the costlier path, made up."""

from segtrace.causal.faithfulness.tally import Tally

NAN = float("nan")
KNOWS = Tally(
    "grad_pam", 43, 50, 0.86, 0.80, 0.92, 0.15, 0.05, 0.25, p=0.004, units=5, unit="networks"
)
OPEN = Tally(
    "seg_grad_cam", 28, 50, 0.55, 0.4, 0.7, -0.15, -0.3, 0.0, p=0.9, units=5, unit="networks"
)
CONTROL = Tally(
    "gradient norm", 35, 50, 0.71, 0.6, 0.8, NAN, NAN, NAN, p=NAN, units=5, unit="networks"
)  # fmt: skip
