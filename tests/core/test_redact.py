"""No text for people holds what a URL must not show."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from autolabel.cli.terminal import LiteralFormatter
from autolabel.errors import AutolabelError, BusyError, Problem, SpecError
from autolabel.redact import hidden
from autolabel.spec.node import Node, Place
from autolabel.spec.overrides import apply
from autolabel.storage import at

SECRETS = [
    "s3://key:secretpw@b/x",
    "s3://key:sec/retpw@b/x",
    "http://user:secretpw@h/x",
    "http://user:secret@pw@h/x",
    "https://secretpw@h/x",
    "https:/u:secretpw@h/x",
    "https://h/x?X-Amz-Signature=secretpw",
    "https://h/x#token=secretpw",
    "az://c:secretpw@b",
    "HTTP://U:secretpw@H",
]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("frame", ["{}", "<command line> data.images=[{}]: refused", "'{}' and s3://other/y", '["{}"]'])
def test_secrets_are_hidden_wherever_a_url_stands(url: str, frame: str) -> None:
    text = frame.format(url)
    shown = hidden(text)
    assert "secret" not in shown and "pw" not in shown
    assert shown.startswith(frame.partition("{")[0])
    assert shown.endswith(frame.partition("}")[2])


@pytest.mark.parametrize("text", ["s3://b/a@b.png", "http://h:80/a@b", "a@b.c", "C:/a?b", "is it s3://b/x? no", "16:9"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert hidden(text) == text


@pytest.mark.parametrize("url", SECRETS)
def test_errors_and_logs_hold_no_secret(url: str) -> None:
    problem = Problem(file=f"<command line> x={url}", message=url, path=url, hint=url)
    errors = [SpecError(problem), AutolabelError(url, hint=url), BusyError(url, differences=[url])]
    told = [f"{error} {error.as_dict()} {error!r}" for error in errors]
    told.append(LiteralFormatter("%(message)s").format(logging.LogRecord("x", 40, "", 0, "at %s", (url,), None)))
    assert not [text for text in told if "secret" in text or "pw" in text]


@pytest.mark.parametrize("url", [url for url in SECRETS if "://" in url and "#" not in url])
def test_a_secret_is_refused_and_the_place_of_an_override_does_not_show_it(url: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"holds a (password|secret)") as caught:
        at(url)
    assert "secretpw" not in str(caught.value)
    root = apply(Node({}, Place("spec.yaml")), [f"data.images=[{url}]"])
    node = root.find(("data", "images", 0))
    assert node is not None
    assert "secret" not in node.place.file
