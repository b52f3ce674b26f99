"""Phrases that a language model proposes: asked of a scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.endpoint import Endpoint, Manners
from autolabel.errors import EndpointError, SpecError
from autolabel.phrases.suggest import PhraseModel, read, sound
from autolabel.testing.endpoint import Script, Scripted, ScriptedEndpoint, words_of

pytest.importorskip("httpx")
QUICK = Manners(retries=0, timeout=30, patience=0)


def asked(script: Script, known: dict[str, list[str]]) -> tuple[dict[str, list[str]], ScriptedEndpoint]:
    with ScriptedEndpoint(script) as server:
        return PhraseModel(Endpoint(server.url, "words", manners=QUICK)).suggest(known), server


def test_each_class_is_asked_for_by_its_words_alone() -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(text='{"phrases": ["feline", "Cat"]}' if '"cat"' in words_of(request) else '["hound"]')

    told, server = asked(script, {"cat": ["cat", "kitten"], "dog": ["dog"]})
    assert told == {"cat": ["feline"], "dog": ["hound"]}
    assert len(server.requests) == 2
    words = [words_of(request) for request in server.requests]
    assert any('"cat"' in one and '"kitten"' in one for one in words)
    assert all(request["model"] == "words" and "image_url" not in json.dumps(request) for request in server.requests)


def test_a_class_that_the_model_will_not_speak_of_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=400, text="no") if '"gun"' in words_of(request) else Scripted(text='["hound"]')

    told, _ = asked(script, {"gun": ["gun"], "dog": ["dog"]})
    assert told == {"gun": [], "dog": ["hound"]}
    assert "the model has no phrases for 'gun'" in caplog.text


def test_a_server_that_is_not_there_ends_the_command() -> None:
    with pytest.raises(EndpointError):
        PhraseModel(Endpoint("http://127.0.0.1:9/v1", "words", manners=QUICK)).suggest({"cat": ["cat"]})


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ('{"phrases": ["a", "b"]}', ["a", "b"]),
        ('Here you are:\n```json\n["a", "b"]\n```', ["a", "b"]),
        ('{"phrases": ["a", 5, null, ["b"]]}', ["a"]),
        ('{"phrases": "a"}', []),
        ('{"other": ["a"]}', []),
        ("a, b", []),
        ("", []),
        ("{" * 5000, []),
        ("[" * 100_000, []),
    ],
)
def test_answers_are_read_in_whatever_form(text: str, phrases: list[str]) -> None:
    assert read(text) == phrases


def test_only_phrases_are_taken() -> None:
    listed = [
        "car",
        "red  car",
        "Red Car",
        "sedan\u202e",
        "x" * 61,
        "a b c d e f g",
        "car; truck",
        "<script>",
        "ｖａｎ",
        "",
        "-",
        "car's wheel",
        "4-door car",
        "../../etc",
    ]
    assert list(sound(listed, ["Car"])) == ["red car", "van", "car's wheel", "4-door car"]
    assert len(list(sound([f"phrase {number}" for number in range(50)], []))) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--endpoint", "http://127.0.0.1:9/v1"], "--endpoint needs --model"),
        (["--endpoint", "ftp://host/v1", "--model", "m"], "--endpoint: ftp://host/v1 is not an endpoint"),
        (["--endpoint", "http://host/v1", "--model", ""], "--model: "),
        (
            ["--endpoint", "http://host/v1", "--model", "m", "--key-env", "sk-123"],
            "--key-env: found something that is no",
        ),
    ],
)
def test_what_names_no_endpoint_is_said(folder: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["phrases", str(folder / "spec.yaml"), "--gt", str(folder / "truth.json"), *words])
    assert isinstance(done.exception, SpecError) and message in str(done.exception)
    assert "sk-123" not in str(done.exception)


def test_the_key_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(text='["yellow thing"]' if '"lamp"' in words_of(request) else "[]")

    with ScriptedEndpoint(script) as server:
        words = ["phrases", str(folder / "spec.yaml"), "--gt", str(folder / "truth.json"), "--no-built-in"]
        named = ["--endpoint", server.url, "--model", "words", "--key-env", "WORDS_KEY"]
        missing = CliRunner().invoke(app, [*words, *named])
        assert isinstance(missing.exception, EndpointError) and "WORDS_KEY" in str(missing.exception)
        monkeypatch.setenv("WORDS_KEY", "secret")
        done = CliRunner().invoke(app, [*words, *named])
        assert done.exit_code == 0, done.output
        assert "yellow thing <- best  model" in done.stdout and "lamp: [yellow thing]" in done.stdout
        assert {headers.get("authorization") for headers in server.headers} == {"Bearer secret"}
        monkeypatch.setenv("AUTOLABEL_LLM_ENDPOINT", server.url)
        monkeypatch.setenv("AUTOLABEL_LLM_MODEL", "words")
        again = CliRunner().invoke(app, words)
        assert again.exit_code == 0 and "lamp: [yellow thing]" in again.stdout
        assert "secret" not in done.output + again.output
