"""Attribution patching, held against the cuts that it estimates."""
