"""train.py: its plan, its folder, how a run goes on."""
