"""Arrays for loggers: cells of maps, lettering, mosaics, charts."""
