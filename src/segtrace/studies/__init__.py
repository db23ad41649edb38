"""What explain.py and segtrace.explain run: slices, whole volumes, a training again, seeds."""
