"""No text for people holds what a URL must not show."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from autolabel.cli.app import app
from autolabel.errors import AutolabelError, BusyError, Problem, SpecError
from autolabel.literal import LiteralFormatter
from autolabel.redact import hidden
from autolabel.run.worker import _keep_log
from autolabel.spec.node import Node, Place
from autolabel.spec.overrides import apply_overrides
from autolabel.storage import at

Capsys = pytest.CaptureFixture[str]
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
    root = apply_overrides(Node({}, Place("spec.yaml")), [f"data.images=[{url}]"])
    node = root.find(("data", "images", 0))
    assert node is not None
    assert "secret" not in node.place.file


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize(
    "words", [["status", "run", "{}"], ["status", "run", "--{}"], ["--{}"], ["{}"], ["report", "a", "--gt={}", "{}"]]
)
def test_a_wrong_command_line_is_told_without_its_secrets(url: str, words: list[str], capsys: Capsys) -> None:
    with pytest.raises(SystemExit) as left:
        app([word.format(url) for word in words], prog_name="autolabel")
    told = capsys.readouterr()
    assert left.value.code == 2 and told.err
    assert "secret" not in told.err + told.out and "pw" not in told.err + told.out


def test_the_log_of_a_worker_holds_no_secret_and_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    root, ours = logging.getLogger(), logging.getLogger("autolabel")
    before, levels = list(root.handlers), {log: log.level for log in (root, ours)}
    try:
        file = _keep_log(tmp_path)
        logging.getLogger("autolabel.any").warning("reading %s of \x1b[31mred", SECRETS[0])
    finally:
        for handler in set(root.handlers).difference(before):
            root.removeHandler(handler)
            if isinstance(handler, logging.StreamHandler) and handler.stream is not sys.stderr:
                handler.stream.close()
        for log, level in levels.items():
            log.setLevel(level)
    text = file.read_text()
    assert "reading s3://b/x of" in text and "secretpw" not in text and "\x1b" not in text
