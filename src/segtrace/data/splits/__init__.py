"""Which cases are trained on, validated and tested: by name, by fold, from a file."""
