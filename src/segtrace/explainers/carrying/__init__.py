"""Which channels carry an organ: cuts of a stage's channels, in groups."""
