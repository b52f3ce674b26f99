"""Code that labelers of a server share: the client and its notes."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.endpoint import Endpoint, EndpointAccount
from autolabel.endpoint.client import require_client
from autolabel.types import Size
from autolabel_vlm.params import PictureParams


class AsksEndpoint:
    """Makes the client where the labeler is loaded; mixed into a labeler, which has ``params`` and ``desk``."""

    params: PictureParams
    desk: EndpointAccount
    endpoint: Endpoint | None = None

    def check(self) -> None:
        """Raise MachineError if the client is not installed."""
        require_client()

    def load(self, device: str) -> None:
        """Make the client; raises EndpointError if the key is not there. Nothing runs on ``device``."""
        require_client()
        params = self.params
        key, manners = params.key() if self.desk.asks else "", params.manners()
        self.endpoint = Endpoint(params.endpoint, params.model, key=key, manners=manners, desk=self.desk)

    def sends_to(self) -> Sequence[str]:
        """Return the address that images are sent to."""
        return (self.params.endpoint,)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the same key for all: each image, or box, is a request of its own."""
        return ()

    def counters(self) -> dict[str, int]:
        """Return the requests that were sent, and the answers kept from before."""
        return {"requests": self.endpoint.sent, "kept": self.endpoint.recalled} if self.endpoint else {}
