"""A run that goes on: what it left behind, and what it has to be."""
