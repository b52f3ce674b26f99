"""Work ahead is bounded, in number and in weight."""

from __future__ import annotations

from threading import Lock

import pytest

from autolabel.data.prefetch import prefetch


@pytest.mark.parametrize(
    ("weights", "most", "wanted"), [([60] * 8, 100, 1), ([10] * 20, 40, 4), ([500, 10, 500], 100, 1)]
)
def test_what_is_in_flight_or_waiting_weighs_no_more_than_is_allowed(
    weights: list[int], most: int, wanted: int
) -> None:
    held, peak, lock = [0], [0], Lock()

    def work(item: int) -> int:
        with lock:
            held[0] += 1
            peak[0] = max(peak[0], held[0])
        return item

    out = []
    for item in prefetch(work, range(len(weights)), threads=8, ahead=16, weight=lambda one: weights[one], most=most):
        out.append(item)
        with lock:
            held[0] -= 1
    assert out == list(range(len(weights)))
    assert peak[0] <= wanted


def test_without_weights_the_number_alone_bounds() -> None:
    assert list(prefetch(lambda item: item * 2, range(100), threads=4, ahead=8)) == [item * 2 for item in range(100)]
