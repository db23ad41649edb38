"""What is promised, beside what was measured: one form for all benchmarks."""


def kept(measured: float, most: float | None = None, least: float | None = None) -> str:
    """Of a bound from above or from below: the bound, and whether it is kept."""
    if most is not None:
        return f"promise <= {most:g}, {'kept' if measured <= most else 'MISSED'}"
    if least is not None:
        return f"promise >= {least:g}, {'kept' if measured >= least else 'MISSED'}"
    return "nothing promised"
