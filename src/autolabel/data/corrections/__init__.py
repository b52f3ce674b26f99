"""Annotations that people corrected in other tools, as the same few shapes whatever the format."""
