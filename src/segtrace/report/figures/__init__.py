"""Figures for print: the paper's Figure 1, routes, necessity, seeds, verdicts, animations."""
