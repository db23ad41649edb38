"""Planted evidence: generated images in which it is known what decides."""
