"""Certify the precision and the recall of a run from checks that were drawn at random."""
