"""Images larger than a network takes: traced window by window, maps stitched."""
