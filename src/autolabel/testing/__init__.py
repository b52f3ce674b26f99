"""Contract checks for strategies, one function per kind, for the tests of any package.

Each returns None, or raises AssertionError naming the strategy and the violated clause. They need no test framework.
Parameters are given as in a spec, without ``type``.
"""

from autolabel.testing.aggregator import check_aggregator
from autolabel.testing.captioner import check_captioner
from autolabel.testing.detector import check_detector
from autolabel.testing.exporter import check_exporter
from autolabel.testing.look import check_look
from autolabel.testing.referrer import check_referrer
from autolabel.testing.samples import example_labels, example_sample
from autolabel.testing.scheduler import check_scheduler
from autolabel.testing.segmenter import check_segmenter
from autolabel.testing.verifier import check_verifier

__all__ = [
    "check_aggregator",
    "check_captioner",
    "check_detector",
    "check_exporter",
    "check_look",
    "check_referrer",
    "check_scheduler",
    "check_segmenter",
    "check_verifier",
    "example_labels",
    "example_sample",
]
