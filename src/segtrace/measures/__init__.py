"""Numbers read off a flow: where the evidence lies, how it changes, when it begins."""
