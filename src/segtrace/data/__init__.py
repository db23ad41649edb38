"""From files to batches and probes: labels, sources, the slice cache, the data module."""
