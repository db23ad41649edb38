"""nnU-Net v2: a trainer that explains while it trains, and trained models as they are."""
