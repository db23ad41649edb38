"""DeepDream for segmentation: Couteaux et al. 2019."""
