"""Interventions: cut a stage or an edge and see what the network loses."""
