"""Learn from a run's checked images, label it again, and compare both on images that were held out."""

from autolabel.callable_package import make_callable

make_callable(__name__)
