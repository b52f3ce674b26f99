"""Certify the precision and the recall of a run from a random sample of checks."""
