"""What the server has done, in the text form of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter

NAMESPACE = "autolabel"
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds."""
MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._images: Counter[str] = Counter()
        self._boxes: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._answered = 0

    def request(self, path: str, status: int) -> None:
        """Count a request by the address it was routed to."""
        with self._lock:
            self._requests[path, status] += 1

    def labelled(self, state: str, boxes: int, seconds: float) -> None:
        """Count an image, and how long it took from its bytes to its labels."""
        with self._lock:
            self._images[state] += 1
            self._boxes[state] += boxes
            self._seconds += seconds
            self._answered += 1
            for bucket in BUCKETS:
                self._buckets[bucket] += seconds <= bucket

    def text(self, *, waiting: int, inside: int, plan: str, version: str) -> str:
        """Return all that was counted, with how many images wait and how many requests are inside."""
        with self._lock:
            lines = [
                *head("info", "gauge", "What is served."),
                f'{NAMESPACE}_info{{version="{version}",plan="{plan}"}} 1',
                *head("requests_total", "counter", "Requests answered."),
                *(
                    f'{NAMESPACE}_requests_total{{path="{path}",status="{status}"}} {count}'
                    for (path, status), count in sorted(self._requests.items())
                ),
                *head("requests_inside", "gauge", "Requests that are worked on."),
                f"{NAMESPACE}_requests_inside {inside}",
                *head("images_waiting", "gauge", "Images that wait for a device."),
                f"{NAMESPACE}_images_waiting {waiting}",
                *head("images_total", "counter", "Images answered, by state."),
                *(f'{NAMESPACE}_images_total{{state="{state}"}} {n}' for state, n in sorted(self._images.items())),
                *head("boxes_total", "counter", "Boxes handed out."),
                f"{NAMESPACE}_boxes_total {sum(self._boxes.values())}",
                *head("image_seconds", "histogram", "Seconds from an image's bytes to its labels."),
                *(f'{NAMESPACE}_image_seconds_bucket{{le="{le:g}"}} {self._buckets[le]}' for le in BUCKETS),
                f'{NAMESPACE}_image_seconds_bucket{{le="+Inf"}} {self._answered}',
                f"{NAMESPACE}_image_seconds_sum {self._seconds:.6f}",
                f"{NAMESPACE}_image_seconds_count {self._answered}",
            ]
        return "\n".join(lines) + "\n"


def head(name: str, kind: str, about: str) -> tuple[str, str]:
    """Return the two lines that stand before a metric."""
    return f"# HELP {NAMESPACE}_{name} {about}", f"# TYPE {NAMESPACE}_{name} {kind}"
