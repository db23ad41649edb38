"""Methods of other papers, beside the rules."""
