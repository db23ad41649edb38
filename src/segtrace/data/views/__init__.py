"""What a network sees of a case: slices here, volumes beside; and the window that both have."""
