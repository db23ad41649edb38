"""Volumes: files at another spacing, for networks that take three axes."""
