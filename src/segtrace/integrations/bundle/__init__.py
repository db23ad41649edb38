"""MONAI bundles: what a bundle says plainly of its network, its preprocessing and its labels."""
