"""Training of the small Grounding DINO in `checkpoints/tiny`."""
