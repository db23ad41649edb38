"""Prepared slices on disk: entries whose content decides, folders that appear whole."""
