"""Scores of whole cases at their native size, by named protocols."""
