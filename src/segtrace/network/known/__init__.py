"""The known networks: where their stages and edges are, and how their logits are picked."""
