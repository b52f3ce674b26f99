"""Label image data sets from a short spec."""

__version__ = "0.1.0"
