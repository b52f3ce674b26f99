"""Which words work for a class, told from checked images."""
