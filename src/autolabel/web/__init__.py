"""Code shared by autolabel's HTTP servers: listening, and request checks."""

from autolabel.web.checks import Fault, bounded, foreign_host, foreign_page, same_secret, with_headers
from autolabel.web.listening import LOOPBACK, host_names, is_loopback, listening, serve_app

__all__ = [
    "LOOPBACK",
    "Fault",
    "bounded",
    "foreign_host",
    "foreign_page",
    "host_names",
    "is_loopback",
    "listening",
    "same_secret",
    "serve_app",
    "with_headers",
]
