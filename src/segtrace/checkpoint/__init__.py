"""The file format: plain values and tensors; nothing that a file names is imported or called."""
