"""Whole cases scored against their truth, and the published tables beside them."""
