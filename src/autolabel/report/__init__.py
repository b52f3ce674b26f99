"""The report of a run: pages and pictures for people to look at."""

from autolabel.callable_package import make_callable

make_callable(__name__)
