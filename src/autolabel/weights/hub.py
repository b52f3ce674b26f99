"""Find and download models of the Hugging Face hub, with clear errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from autolabel.errors import MachineError, WeightsError
from autolabel.weights.content import DESCRIPTIONS, INDEX, WEIGHTS, checkpoint_files, files_of, shard_names
from autolabel.weights.json_file import read_mapping
from autolabel.weights.rust_errors import first_line, panics_as_errors

_CARD = "README.md"
_PATIENCE = 20.0
"""Seconds that the hub has to say what a repository holds."""
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))


def snapshot(name: str, revision: str | None, *, weights: bool = True) -> Path:
    """Return the folder of a hub model, downloading files that the cache lacks.

    Only the files named by ``content`` are downloaded; without ``weights``, only configuration and tokenizer. Raises
    WeightsError, with a hint, for any error of network, hub or disk.
    """
    folder = cached(name, revision)
    if folder is not None and not lacking(folder, weights=weights):
        _fetch_card(name, folder)
        return folder
    try:
        return _fetched(name, revision, weights=weights)
    except WeightsError:
        if folder is None or (weights and not _has_weights(folder)):
            raise
        return folder  # incomplete: its reader will name the missing file


@contextmanager
def offline() -> Iterator[None]:
    """Keep huggingface_hub and transformers offline while the block runs."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached(name: str, revision: str | None) -> Path | None:
    """Return the folder of a model in the local cache, complete or not, without network access."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    reference = repository / "refs" / (revision or "main")
    with suppress(OSError, ValueError):
        commit = reference.read_text("utf-8").strip() if reference.is_file() else revision or ""
        if commit and (repository / "snapshots" / commit).is_dir():
            return repository / "snapshots" / commit
    return None


def lacking(folder: Path, *, weights: bool = True) -> list[str]:
    """Describe the required files that a cached folder lacks."""
    if weights and not _has_weights(folder):
        return ["weights"]
    if weights and not any((folder / name).is_file() for name in WEIGHTS):
        return []  # a single file of an original project
    if not (folder / "config.json").is_file():
        return ["config.json"]
    content = read_mapping(folder / "config.json")
    missing = []
    if weights and not any((folder / name).is_file() for name in _PROCESSORS):
        missing.append(_PROCESSORS[0])
    reads_text = "text_config" in content or "detector_config" in content or not weights
    if reads_text and not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        missing.append("tokenizer.json")
    return missing


def _has_weights(folder: Path) -> bool:
    try:
        return bool(files_of(folder))
    except WeightsError:
        return False


def check_on_hub(name: str, revision: str | None) -> None:
    """Raise WeightsError unless a model is cached or exists on the hub; one request, no download."""
    folder = cached(name, revision)
    if folder is None or lacking(folder):
        checkpoint_files(repr(_called(name, revision)), _listed(name, revision))


def _called(name: str, revision: str | None) -> str:
    """Return a model's name as in a spec."""
    return f"{name}@{revision}" if revision else name


def _listed(name: str, revision: str | None) -> list[str]:
    """Return the names of the files of a repository."""
    from huggingface_hub import HfApi, constants

    _check_endpoint(name, revision)
    hub = HfApi(endpoint=constants.ENDPOINT)
    info = _asked(name, revision, partial(hub.model_info, name, revision=revision, timeout=_PATIENCE))
    return [sibling.rfilename for sibling in info.siblings or ()]


def _fetched(name: str, revision: str | None, *, weights: bool) -> Path:
    from huggingface_hub import hf_hub_download

    names = _listed(name, revision)
    chosen = (
        checkpoint_files(repr(_called(name, revision)), names) if weights else [n for n in DESCRIPTIONS if n in names]
    )
    if not chosen:
        raise WeightsError(f"{_called(name, revision)!r} holds no tokenizer and no configuration")
    pending, at, folder = list(chosen), revision, Path()
    while pending:
        file = pending.pop(0)
        folder = Path(_asked(name, revision, partial(hf_hub_download, name, file, revision=at))).parent
        at = folder.name  # all files from the same commit
        if file.endswith(INDEX):
            pending += shard_names(folder / file)
    return folder


def _fetch_card(name: str, folder: Path) -> None:
    """Download the model card of a cached model, which states its licence; ignore failures."""
    from huggingface_hub import constants, hf_hub_download

    known_missing = folder.parents[1] / ".no_exist" / folder.name / _CARD
    if constants.HF_HUB_OFFLINE or (folder / _CARD).is_file() or known_missing.exists():
        return
    with suppress(Exception):
        hf_hub_download(name, _CARD, revision=folder.name, etag_timeout=3)


def _check_endpoint(name: str, revision: str | None) -> None:
    from huggingface_hub import constants

    if not constants.ENDPOINT.startswith(("http://", "https://")):
        reason = f"HF_ENDPOINT is {constants.ENDPOINT!r}, an address without http:// or https://"
        raise _cannot(name, revision, reason, hint=f"set HF_ENDPOINT=https://{constants.ENDPOINT}")


def _asked(name: str, revision: str | None, ask: Callable[[], Any]) -> Any:
    """Return the hub's answer; raises WeightsError for any failure."""
    try:
        with panics_as_errors():
            return ask()
    except Exception as error:
        raise _explained(error, name, revision) from error


def _cannot(name: str, revision: str | None, reason: str, *, hint: str = "") -> WeightsError:
    return WeightsError(
        f"{_called(name, revision)!r} is neither in the local Hugging Face cache nor can it be fetched: {reason}",
        hint=hint or "give the folder of a downloaded copy, or use a shipped checkpoint",
    )


def _explained(error: BaseException, name: str, revision: str | None) -> MachineError:
    """Convert an error of huggingface_hub, the network, or the disk."""
    chain = list(_chain(error))
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if any(isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT) for one in chain):
        return MachineError(f"{_called(name, revision)!r} cannot be fetched: no space left for the Hugging Face cache")
    if any(isinstance(one, OSError) and one.errno in (errno.EACCES, errno.EROFS, errno.EPERM) for one in chain):
        return _cannot(name, revision, first_line(error), hint="set HF_HOME to a writable folder")
    if "OfflineModeIsEnabled" in kinds:
        return _cannot(
            name, revision, "HF_HUB_OFFLINE is set", hint="unset it, or give the folder of a downloaded copy"
        )
    status = next((code for one in chain if (code := _status(one)) is not None), None)
    if (answered := _refused(name, revision, kinds, status)) is not None:
        return answered
    reason, hint = _network(kinds, chain)
    return _cannot(name, revision, reason, hint=hint)


def _refused(name: str, revision: str | None, kinds: set[str], status: int | None) -> WeightsError | None:
    """Return the message for a refusal of the hub."""
    from huggingface_hub import get_token

    page, token = f"https://huggingface.co/{name}", get_token()
    if "GatedRepoError" in kinds:
        if token is None:
            return _cannot(
                name, revision, "it is gated", hint=f"ask for access at {page}, and set HF_TOKEN to your token"
            )
        return _cannot(
            name, revision, "it is gated, and your token has no access to it", hint=f"ask for access at {page}"
        )
    if "RevisionNotFoundError" in kinds:
        return _cannot(name, revision, f"it has no revision {revision!r}", hint=f"those it has are at {page}/tree/main")
    if "RepositoryNotFoundError" in kinds:
        who = "set HF_TOKEN if it is private" if token is None else "or your token has no access to it"
        return _cannot(name, revision, "there is no such model", hint=f"check the name ({page}); {who}")
    if "DisabledRepoError" in kinds:
        return _cannot(name, revision, "the hub has disabled it", hint=f"see {page}")
    if "HFValidationError" in kinds:
        return _cannot(name, revision, "it is not a name on the hub", hint="a name is org/name, or org/name@revision")
    if status in (401, 403):
        return _cannot(name, revision, f"the hub answers {status}", hint="check HF_TOKEN and its permissions")
    if status == 404:
        return _cannot(name, revision, "the hub has no such file (404)", hint="check HF_ENDPOINT, and the revision")
    if status == 407:
        return _cannot(name, revision, "the proxy wants a password (407)", hint="check HTTPS_PROXY")
    if status == 429:
        return _cannot(name, revision, "the hub refuses further requests for now (429)", hint="wait, or set HF_TOKEN")
    if status is not None and status >= 500:
        return _cannot(name, revision, f"the hub is unavailable ({status})", hint="try again later")
    return None


_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_NETWORK = (
    (("ProxyError",), "the proxy refuses the connection", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
    (("UnsupportedProtocol", "InvalidURL"), "not an address", "check HF_ENDPOINT, HTTPS_PROXY and HTTP_PROXY"),
    (("ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout", "TimeoutException"),
     "the hub does not answer", "check the network; give the folder of a downloaded copy"),
    (("ConnectError",), "the hub cannot be reached", "check the network, or give the folder of a downloaded copy"),
    (("RemoteProtocolError", "ReadError", "WriteError", "CloseError", "NetworkError", "IncompleteRead"),
     "the connection was cut", "start again: what has arrived is kept"),
    (("TooManyRedirects",), "the hub sends in circles", "check HF_ENDPOINT"),
    (("JSONDecodeError", "DecodingError", "FileMetadataError"),
     "what answers is not the Hugging Face hub", "check HF_ENDPOINT, and whether the network wants a log-in"),
)  # fmt: skip
"""Names of errors of httpx and of the hub's library, what they mean, and what helps."""


def _network(kinds: set[str], chain: list[BaseException]) -> tuple[str, str]:
    reason = first_line(chain[-1])
    detail = f" ({reason})" if len(reason) > len("KeyError") else ""  # a bare error number is not informative
    proxies = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    if proxies and "ConnectError" in kinds:
        return f"neither the proxy nor the hub can be reached{detail}", f"check {', '.join(proxies)} and NO_PROXY"
    for names, meaning, hint in _NETWORK:
        if kinds & set(names):
            return f"{meaning}{detail}", hint
    if "ConsistencyError" in kinds or any("Consistency check failed" in str(one) for one in chain):
        return f"the download is not whole ({first_line(chain[0])})", "start again"
    return first_line(chain[0]), ""


def _status(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
