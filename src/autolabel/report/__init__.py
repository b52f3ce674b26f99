"""The report of a run: pages and pictures for people to look at."""
