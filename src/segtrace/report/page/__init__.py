"""The page: index.html, one file that opens from disk."""
