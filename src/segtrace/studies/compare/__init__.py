"""Methods side by side, beside rows that know nothing of what is explained."""
