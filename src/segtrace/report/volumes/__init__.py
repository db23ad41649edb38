"""Volumes: planes of them as slices, and their maps as NIfTI."""
