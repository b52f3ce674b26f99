"""Training of the checkpoints that the repository ships."""
