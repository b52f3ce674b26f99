"""Fine-tune on a run's checked images, label it again, and compare both runs on held-out images."""

from autolabel.callable_package import make_callable

make_callable(__name__)
