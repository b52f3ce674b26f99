"""Training of the mask network from boxes alone (MAL, arXiv 2301.03992)."""
