"""A network from outside: its stages and edges, what passes there, and how it is run unharmed."""
