"""Networks that other frameworks trained, taken from the folders these leave behind."""

FOREIGN = ("nnunet", "bundle")
"""Options that name a network of another framework by the folder that it was left in."""
