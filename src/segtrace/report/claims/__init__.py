"""Sentences with the numbers they rest on and the tests they passed."""
