"""Attribution: stages, targets and rules in, a frozen flow out. Needs torch alone."""
