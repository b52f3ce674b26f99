"""Find the phrases that work best for a class, on checked images."""
