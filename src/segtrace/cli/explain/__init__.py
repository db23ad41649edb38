"""explain.py: its options and the slices that they ask for."""
