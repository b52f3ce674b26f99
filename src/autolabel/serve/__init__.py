"""Serve a spec over HTTP: predictions, and Label Studio's ML backend protocol."""

from autolabel.serve.limits import RequestLimits
from autolabel.serve.run import Serving, serve

__all__ = ["RequestLimits", "Serving", "serve"]
