"""The results directory: what a run leaves, and how it is read again."""
