"""Integrations with CVAT, FiftyOne and supervision. Each module needs its tool installed."""
