"""What is proposed for a network that is in no table."""
