"""Figures of the nuances that the paper names."""
