"""explain.py: its options, short and long, and how they go together."""
