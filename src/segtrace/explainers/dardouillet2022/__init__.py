"""KernelSHAP on superpixels: Dardouillet et al. 2022."""
