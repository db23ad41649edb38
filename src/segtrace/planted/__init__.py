"""Generated evidence with a known answer, and the benchmark on it."""
