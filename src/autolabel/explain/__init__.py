"""Why the boxes of an image are what they are."""

from autolabel.callable_package import make_callable

make_callable(__name__)
