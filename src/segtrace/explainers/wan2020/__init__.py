"""SegNBDT (Wan et al. 2020): the tree of classes that a network's head induces."""
