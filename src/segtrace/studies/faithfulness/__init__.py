"""The maps put to the test by cutting what they mark."""
