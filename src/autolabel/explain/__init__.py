"""Explain the origin of the boxes of an image."""

from autolabel.callable_package import make_callable

make_callable(__name__)
