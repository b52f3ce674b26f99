"""Serve a predictor at an address until it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autolabel.errors import SpecError
from autolabel.predict import Predictor
from autolabel.serve.app import Service, make_app
from autolabel.serve.label_studio import Decisions, LabelStudioServer
from autolabel.serve.limits import RequestLimits
from autolabel.web import LOOPBACK, host_names, is_loopback, listening, serve_app

_PORT = 9090
"""The port of Label Studio's own ML backends."""
_WAITS = 30
"""Seconds that active requests may take to finish when the server is stopped."""
_LONGEST_TOKEN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Settings of a server."""

    token: str
    host: str = LOOPBACK
    port: int = _PORT
    limits: RequestLimits = field(default_factory=RequestLimits)
    folders: Sequence[str] = ()
    """Folders whose images Label Studio may name, besides those of the plan."""
    label_studio: str | None = None
    """The address of Label Studio, from which images are fetched; None: where ``/setup`` comes from."""
    label_studio_token: str | None = None
    """The token for Label Studio; None: the one that ``/setup`` sends."""

    def __post_init__(self) -> None:
        """Raise SpecError for a token that a header cannot carry."""
        plain = self.token.isascii() and self.token.isprintable() and " " not in self.token
        if not plain or not 0 < len(self.token) <= _LONGEST_TOKEN:
            raise SpecError("the token must be of printable ASCII characters, without spaces", hint="leave it out")


def serve(
    predictor: Predictor,
    serving: Serving,
    *,
    decisions: Decisions | None = None,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until SIGINT or SIGTERM, and finish active requests.

    Annotations from Label Studio go to ``decisions``. ``started`` is called with the address once the server answers.
    Raises MachineError if the port cannot be bound.
    """
    server = LabelStudioServer(serving.label_studio, serving.label_studio_token)
    with listening(serving.host, serving.port) as bound:
        number = bound.getsockname()[1]
        service = Service(predictor, serving.limits, server=server, folders=serving.folders, decisions=decisions)
        hosts = host_names(serving.host, number) if is_loopback(serving.host) else None
        app = make_app(service, token=serving.token, hosts=hosts)
        named = f"[{serving.host}]" if ":" in serving.host else serving.host

        def stopping() -> None:
            service.admission.closing = True

        serve_app(app, bound, ready=lambda: started(f"http://{named}:{number}/"), stopping=stopping, waits=_WAITS)
