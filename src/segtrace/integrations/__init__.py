"""Networks that other frameworks trained, taken from the folders these leave behind."""
