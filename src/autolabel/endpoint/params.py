"""The spec parameters of labelers that use an endpoint."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from autolabel import urls
from autolabel.endpoint.address import fault_of
from autolabel.endpoint.manners import Manners
from autolabel.errors import EndpointError
from autolabel.fields import ExplainedModel

_VARIABLE = r"[A-Z_][A-Z0-9_]*"


def _endpoint(url: str) -> str:
    fault, hint = fault_of(url)
    if fault:
        said = f"{urls.without_secrets(url) if urls.is_url(url) else 'the value'} {fault}"
        raise PydanticCustomError("said", "{said}", {"said": said, "hint": hint})
    return url.rstrip("/")


def _variable(name: str) -> str:
    """Refuse an invalid variable name without repeating it, because it may be a key."""
    if not re.fullmatch(_VARIABLE, name):
        told = {"said": "found something that is not the name of an environment variable", "hint": _HINT}
        raise PydanticCustomError("said", "{said}", told)
    return name


_HINT = "name the variable that holds the key, in capitals, such as OPENAI_API_KEY; a spec must not contain a key"
EndpointUrl = Annotated[str, AfterValidator(_endpoint)]
_Variable = Annotated[str, Field(json_schema_extra={"pattern": f"^{_VARIABLE}$"}), AfterValidator(_variable)]
_Whole = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0)]


class EndpointParams(ExplainedModel):
    """The server, the model, and request limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    INCIDENTAL: ClassVar[frozenset[str]] = frozenset(
        {"endpoint", "api_key_env", "concurrency", "timeout", "retries", "retry_wait", "patience"}
    )
    """Parameters that affect how a model is called, but not its answers."""

    endpoint: EndpointUrl
    """Base URL of an OpenAI-compatible server, such as ``http://localhost:8000/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """The model's name on the server."""
    api_key_env: _Variable | None = None
    """Name of the environment variable that holds the key; without it none is sent."""
    max_tokens: _Whole = 2048
    """Maximum tokens of an answer; the rest of a truncated answer is requested once."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 gives the most likely answer."""
    seed: int | None = 0
    """Seed sent to servers that sample; null sends none."""
    request: dict[str, Any] = {}
    """Additional fields of the request, such as ``{reasoning_effort: low}``; null removes a field."""
    concurrency: _Whole = 8
    """Simultaneous requests of a worker; at most ``run.batch_size``."""
    timeout: _Seconds = 120.0
    """Seconds that an answer may take."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Number of retries if the server fails."""
    retry_wait: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first retry; doubled each time, up to a minute."""
    patience: Annotated[float, Field(ge=0)] = 900.0
    """Seconds to wait for a server that is busy (429)."""

    def manners(self) -> Manners:
        """Return the request limits."""
        return Manners(
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            wait=self.retry_wait,
            patience=self.patience,
        )

    def key(self) -> str:
        """Return the key, empty if none is named; raises EndpointError if the variable is not set."""
        if self.api_key_env is None:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EndpointError(
                f"the environment variable {self.api_key_env}, which is to hold the key, is not set",
                hint=f"export {self.api_key_env}=... and start the same command again",
            )
        return key
