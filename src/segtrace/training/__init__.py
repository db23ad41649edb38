"""Training with explanation: what the two scripts are made of."""
