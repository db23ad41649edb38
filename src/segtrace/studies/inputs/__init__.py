"""What a study is given: networks, and images to explain them on."""
