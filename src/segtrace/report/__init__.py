"""What a reader sees: pictures, tables, TensorBoard and figures; plain tensors and strings in."""
