"""Networks that MONAI lacks or has wrong."""
