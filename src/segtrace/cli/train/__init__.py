"""train.py: its configuration, its folder, how a run goes on."""
