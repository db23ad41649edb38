"""What is kept over the epochs of a training: maps, measures, leaks, cuts; and their files."""
