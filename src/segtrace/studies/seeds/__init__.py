"""Runs that differ in their seed, compared."""
