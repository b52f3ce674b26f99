"""Train the mask network from boxes alone."""
