"""What is kept over the epochs of a training: maps, measures, leaks and cuts, and where it is written."""
