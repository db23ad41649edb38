"""Sentences of the nuances that the paper names."""
