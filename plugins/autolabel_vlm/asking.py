"""Code shared by labelers that use an endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.endpoint import Endpoint, EndpointAccount, Reply
from autolabel.endpoint.client import require_client
from autolabel.errors import ImageError
from autolabel.types import Size
from autolabel_vlm.params import PictureParams


class AsksEndpoint:
    """A mixin that creates the client in ``load``; the labeler has ``params`` and ``desk``."""

    params: PictureParams
    desk: EndpointAccount
    endpoint: Endpoint | None = None

    def check(self) -> None:
        """Raise MachineError if the client is not installed."""
        require_client()

    def load(self, device: str) -> None:
        """Create the client; raises EndpointError if the key is missing. ``device`` is not used."""
        require_client()
        params = self.params
        key, manners = params.key() if self.desk.asks else "", params.manners()
        self.endpoint = Endpoint(params.endpoint, params.model, key=key, manners=manners, desk=self.desk)

    def sends_to(self) -> Sequence[str]:
        """Return the URL that images are sent to."""
        return (self.params.endpoint,)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return one key for all images, because each image or box is a separate request."""
        return ()

    def counters(self) -> dict[str, int]:
        """Return the numbers of requests sent and of cached answers used."""
        return {"requests": self.endpoint.sent, "kept": self.endpoint.recalled} if self.endpoint else {}


def unless_refused(reply: Reply | ImageError) -> Reply | ImageError:
    """Return a reply; an error instead if the model refuses, or its answer was withheld."""
    if isinstance(reply, ImageError) or not (reply.refusal or reply.finish == "content_filter"):
        return reply
    return ImageError("refused", f"the model refuses: {reply.refusal or 'its answer was withheld'}"[:300])
