"""The HTML report and annotated pictures of a run."""

from autolabel.callable_package import make_callable

make_callable(__name__)
