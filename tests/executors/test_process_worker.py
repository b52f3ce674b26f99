"""What a worker process sends to the driver."""

from __future__ import annotations

from typing import Any

from autolabel.executors.messages import Event, Ready, Result
from autolabel.executors.process_worker import _Messages


class Pipe:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def test_events_travel_together_and_before_the_result_of_their_task() -> None:
    pipe = Pipe()
    messages = _Messages(pipe)  # type: ignore[arg-type]
    messages.send(Ready())
    messages.send()
    for event in "abc":
        messages.events.append(event)
    messages.send(Result(1))
    messages.events.append("d")
    messages.send()
    assert pipe.sent == [Ready(), Event(("a", "b", "c")), Result(1), Event(("d",))]
