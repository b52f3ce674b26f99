"""How the mask network learns from boxes alone."""
