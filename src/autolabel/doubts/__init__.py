"""Likely label errors: where labels and evidence disagree."""
