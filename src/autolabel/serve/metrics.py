"""The server's counters in Prometheus's text format."""

from __future__ import annotations

import threading
from collections import Counter

_NAMESPACE = "autolabel"
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._images: Counter[str] = Counter()
        self._boxes: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._answered = 0

    def request(self, path: str, status: int) -> None:
        """Count a request by route."""
        with self._lock:
            self._requests[path, status] += 1

    def labelled(self, state: str, boxes: int, seconds: float) -> None:
        """Count an image, and how long it took from its bytes to its labels."""
        with self._lock:
            self._images[state] += 1
            self._boxes[state] += boxes
            self._seconds += seconds
            self._answered += 1
            for bucket in _BUCKETS:
                self._buckets[bucket] += seconds <= bucket

    def text(self, *, waiting: int, inside: int, plan: str, version: str) -> str:
        """Return all metrics, with the numbers of queued images and active requests."""
        with self._lock:
            lines = [
                *_head("info", "gauge", "What is served."),
                f'{_NAMESPACE}_info{{version="{version}",plan="{plan}"}} 1',
                *_head("requests_total", "counter", "Requests answered."),
                *(
                    f'{_NAMESPACE}_requests_total{{path="{path}",status="{status}"}} {count}'
                    for (path, status), count in sorted(self._requests.items())
                ),
                *_head("requests_inside", "gauge", "Requests that are worked on."),
                f"{_NAMESPACE}_requests_inside {inside}",
                *_head("images_waiting", "gauge", "Images that wait for a device."),
                f"{_NAMESPACE}_images_waiting {waiting}",
                *_head("images_total", "counter", "Images answered, by state."),
                *(f'{_NAMESPACE}_images_total{{state="{state}"}} {n}' for state, n in sorted(self._images.items())),
                *_head("boxes_total", "counter", "Boxes returned."),
                f"{_NAMESPACE}_boxes_total {sum(self._boxes.values())}",
                *_head("image_seconds", "histogram", "Seconds from an image's bytes to its labels."),
                *(f'{_NAMESPACE}_image_seconds_bucket{{le="{le:g}"}} {self._buckets[le]}' for le in _BUCKETS),
                f'{_NAMESPACE}_image_seconds_bucket{{le="+Inf"}} {self._answered}',
                f"{_NAMESPACE}_image_seconds_sum {self._seconds:.6f}",
                f"{_NAMESPACE}_image_seconds_count {self._answered}",
            ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    """Return the two header lines of a metric."""
    return f"# HELP {_NAMESPACE}_{name} {about}", f"# TYPE {_NAMESPACE}_{name} {kind}"
