"""Lightning callbacks: maps of every epoch, cuts, baselines, checkpoints, progress."""
