"""The two scripts: their options, how they begin and how they end."""
