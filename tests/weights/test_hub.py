"""What is fetched from a hub, what is taken from the cache, and what is said of a hub that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from autolabel.errors import MachineError, WeightsError
from autolabel.weights import check_reachable, files_of, is_cached, licence_of, locate_checkpoint
from tests.weights.small_hub import COMMIT, SmallHub, small_hub

CONFIG = json.dumps({"model_type": "grounding-dino", "text_config": {}}).encode()
WHOLE = {
    "config.json": CONFIG,
    "preprocessor_config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"numbers",
    "README.md": b"---\nlicense: apache-2.0\n---\n",
}


def point(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Do what HF_ENDPOINT does before the library is imported."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub that can be reached, an empty cache, no token."""
    with small_hub() as served:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        point(monkeypatch, served.url)
        monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
        yield served


def cache(tmp_path: Path, name: str, files: dict[str, bytes]) -> Path:
    """Fill the cache file by file, as another program may have done."""
    repository = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for file, content in files.items():
        (snapshot / file).write_bytes(content)
    return snapshot


def fetched(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_weights_descriptions_and_cards_are_fetched_and_nothing_else(hub: SmallHub) -> None:
    others = {"pytorch_model.bin": b"x", "flax_model.msgpack": b"x", "model.onnx": b"x", "code.py": b"x"}
    hub.repositories["org/name"] = {**WHOLE, **others, "LICENSE.txt": b"Apache License\nVersion 2.0"}
    folder = locate_checkpoint("org/name")
    assert fetched(folder) == sorted([*WHOLE, "LICENSE.txt"])
    assert licence_of(folder).commercial
    assert is_cached("org/name")


@pytest.mark.parametrize(
    ("weights", "read"),
    [
        ({"pytorch_model.bin": b"x"}, ["pytorch_model.bin"]),
        ({"groundingdino.pth": b"x"}, ["groundingdino.pth"]),
        (
            {"model.safetensors.index.json": b'{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}',
             "one.safetensors": b"1", "two.safetensors": b"2", "three.safetensors": b"3"},
            ["model.safetensors.index.json", "one.safetensors", "two.safetensors"],
        ),
        (
            {"model.safetensors": b"new", "model.safetensors.index.json": b'{"weight_map": {"a": "old.safetensors"}}',
             "old.safetensors": b"old"},
            ["model.safetensors"],
        ),
    ],
)  # fmt: skip
def test_what_is_fetched_is_what_is_read(weights: dict[str, bytes], read: list[str], hub: SmallHub) -> None:
    described = {name: content for name, content in WHOLE.items() if name != "model.safetensors"}
    hub.repositories["org/name"] = {**described, **weights}
    folder = locate_checkpoint("org/name@v1")
    assert [path.name for path in files_of(folder) if path.name in weights] == read
    assert fetched(folder) == sorted([*described, *read])


@pytest.mark.parametrize("lost", ["preprocessor_config.json", "tokenizer.json", "config.json", "model.safetensors"])
def test_a_cache_that_lacks_a_file_is_completed(lost: str, hub: SmallHub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = WHOLE
    folder = cache(tmp_path, "org/name", {name: data for name, data in WHOLE.items() if name != lost})
    assert not is_cached("org/name")
    assert locate_checkpoint("org/name") == folder
    assert fetched(folder) == sorted(WHOLE)


def test_a_whole_cache_asks_for_nothing_but_the_card(hub: SmallHub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = WHOLE
    folder = cache(tmp_path, "org/name", WHOLE)
    assert locate_checkpoint("org/name") == folder
    assert hub.asked == []
    (folder / "README.md").unlink()
    assert licence_of(locate_checkpoint("org/name")).name == "apache-2.0"


def test_a_text_encoder_comes_without_its_weights(hub: SmallHub) -> None:
    hub.repositories["org/bert"] = {"config.json": b"{}", "vocab.txt": b"a", "model.safetensors": b"x" * 99}
    assert fetched(locate_checkpoint("org/bert", weights=False)) == ["config.json", "vocab.txt"]


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("gated/name", "it is gated", "ask for access at https://huggingface.co/gated/name, and set HF_TOKEN"),
        ("nobody/name", "there is no such model", "check the name"),
        ("org/name@v9", "it has no revision 'v9'", "tree/main"),
        ("busy/name", r"refuses further requests for now \(429\)", "wait"),
        ("broken/name", r"unavailable \(500\)", "later"),
        ("forbidden/name", "the hub answers 403", "HF_TOKEN"),
        ("page/name", "is not the Hugging Face hub", "HF_ENDPOINT"),
        ("silent/name", "the connection was cut", "start again"),
    ],
)
def test_a_hub_that_refuses_is_explained(name: str, reason: str, advice: str, hub: SmallHub) -> None:
    hub.repositories["org/name"] = WHOLE
    for ask in (locate_checkpoint, check_reachable):
        with pytest.raises(WeightsError, match=reason) as error:
            ask(name)
        assert advice in error.value.hint
        assert "\n" not in error.value.message


def test_a_token_without_access_is_told_from_none(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    with pytest.raises(WeightsError, match="your token has no access to it"):
        locate_checkpoint("gated/name")


def test_a_download_that_is_cut_is_one_sentence(hub: SmallHub) -> None:
    hub.repositories["cut/name"] = {**WHOLE, "model.safetensors": b"x" * 4000}
    with pytest.raises(WeightsError, match=r"'cut/name' .*(was cut|not whole)"):
        locate_checkpoint("cut/name")


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("hub.local", "HF_ENDPOINT is 'hub.local', an address without http:// or https://"),
        ("http://127.0.0.1:1", "the hub cannot be reached"),
        ("http://bad:port", "not an address"),
    ],
)
def test_an_endpoint_that_is_none_is_explained(
    endpoint: str, reason: str, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, endpoint)
    with pytest.raises(WeightsError, match=reason):
        locate_checkpoint("org/name")


def test_a_proxy_that_cannot_be_reached_is_named(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    point(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(WeightsError, match="neither the proxy nor the hub can be reached") as error:
        locate_checkpoint("org/name")
    assert "HTTPS_PROXY" in error.value.hint


def test_a_full_disk_is_not_the_hubs_fault(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    hub.repositories["org/name"] = WHOLE
    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(MachineError, match="no space left for the Hugging Face cache"):
        locate_checkpoint("org/name")


@pytest.mark.parametrize("error", [KeyError("etag"), AssertionError(), ImportError("socksio"), RecursionError()])
def test_whatever_the_library_raises_is_one_error(
    error: Exception, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    hub.repositories["org/name"] = WHOLE
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(WeightsError, match="'org/name' is neither in the local Hugging Face cache nor"):
        locate_checkpoint("org/name")


def test_checking_fetches_nothing(hub: SmallHub, tmp_path: Path) -> None:
    hub.repositories["org/name"] = WHOLE
    check_reachable("org/name")
    assert not (tmp_path / "cache").exists()
    hub.repositories["org/empty"] = {"README.md": b""}
    with pytest.raises(WeightsError, match="'org/empty': no weights in this folder"):
        check_reachable("org/empty")
