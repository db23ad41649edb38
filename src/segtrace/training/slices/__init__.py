"""Slices out of anybody's loaders: chosen, read as the trainer reads, sent through once."""
