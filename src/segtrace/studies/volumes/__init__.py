"""Whole volumes, explained slice by slice."""
