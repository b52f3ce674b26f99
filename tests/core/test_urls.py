"""Which URLs are read: one policy, whoever wrote them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autolabel import urls
from autolabel.errors import DataError, MachineError, SpecError
from autolabel.storage import Remote, at

READ = ["s3://b/x", "s3a://b/x", "gs://b/x", "az://c/x", "abfs://c/x", "http://example.com/x", "memory://x"]
ALLOWABLE = ["ftp://h/x", "sftp://h/x", "ssh://h/x", "smb://h/x", "webhdfs://h/x", "hdfs://h/x", "github://x"]
ALLOWABLE += ["git://x", "hf://datasets/x", "webdav://h/x", "dropbox://x", "gdrive://x", "box://x", "unheard-of://x"]
NEVER = ["reference://a.png", "simplecache://x", "filecache://x", "blockcache://x", "zip://x", "tar://x", "data://x"]
NEVER += ["libarchive://x", "dir://x", "generic://x", "local://x", "REFERENCE://x", "jupyter://h/x"]
CHAINS = ["reference://a.png::http://h", "zip://a::s3://b/x", "simplecache://::http://h/x", "s3://b/x::file:///etc"]
LOCAL = ["http://localhost/x", "http://LOCALHOST./x", "http://127.0.0.1:8/x", "http://127.1/x", "http://2130706433/x"]
LOCAL += [
    "http://0x7f000001/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://0.0.0.0/x",
    "https://a.localhost",
]
LOCAL += ["http://169.254.169.254/latest", "http://[fe80::1]/x", "http://224.0.0.1/x"]
ODD_HOSTS = ["①②⑦.0.0.1", "127。0。0。1", "127．0．0．1", "１２７.0.0.1", "127。0。0。1.", "ⓛocalhost"]
ODD_HOSTS += ["loc%61lhost", "%31%32%37.0.0.1", "127.0.0.1.", "127.1..", "0177.0.0.1", "0x7f.1", "2130706433."]
ODD_HOSTS += ["localhost..", "bücher.de"]
SECRETS = ["https://me:s3cret@h/x", "https://s3cret@h/x", "s3://key:s3cret@b/x", "https://h/x?sig=s3cret"]
SECRETS += ["https://h/x?X-Amz-Security-Token=s3cret", "https://h/x?X-Amz-Signature=s3cret", "http://h/?api_key=s3cret"]


@pytest.mark.parametrize("url", READ)
def test_what_is_read(url: str) -> None:
    assert urls.url_fault(url) == ("", "")
    assert isinstance(at(url), Remote)


def test_a_file_url_is_a_path() -> None:
    assert at("file:///data/my%20photos") == Path("/data/my photos")


@pytest.mark.parametrize("url", [*ALLOWABLE, *NEVER, *CHAINS, *LOCAL, *SECRETS])
def test_what_is_refused(url: str) -> None:
    with pytest.raises(SpecError) as caught:
        at(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ALLOWABLE)
def test_what_the_environment_may_allow(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(urls.ALLOW, f"other, {url.partition('://')[0]}")
    assert isinstance(at(url), Remote)


@pytest.mark.parametrize("url", [*NEVER, *CHAINS])
def test_what_nothing_allows(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(urls.ALLOW, f"local,redirects,{url.partition('://')[0].lower()}")
    with pytest.raises(SpecError):
        at(url)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", "http://169.254.169.254/secret?token=s3cret")
                self.end_headers()
                return
            page = b"<a href='itself/'>x</a>" if self.path.startswith("/photos") else b"photo"
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path.startswith("/photos") else "image/png")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()


def test_a_server_on_this_machine_is_asked_only_where_that_is_allowed(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    url, asked = server
    with pytest.raises(SpecError, match="is an address of this machine"):
        at(f"{url}/a.png")
    assert not asked
    monkeypatch.setenv(urls.ALLOW, "local")
    assert at(f"{url}/a.png").read_bytes() == b"photo"


def test_a_name_that_leads_to_this_machine_is_found_when_it_is_looked_up(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    import aiohttp.resolver

    url, asked = server

    async def here(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(aiohttp.resolver.DefaultResolver, "resolve", here)
    port = url.rpartition(":")[2]
    with pytest.raises(MachineError, match="this machine"):
        Remote(f"http://photos.example:{port}/a.png").read_bytes()
    assert not asked


def test_no_redirect_is_followed(server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv(urls.ALLOW, "local")
    for work in (Remote.read_bytes, lambda place: place.open().read(), lambda place: place.read_part(0, 10)):
        with pytest.raises(MachineError, match=r"redirects to http://169\.254\.169\.254/secret, which") as caught:
            work(Remote(f"{server[0]}/away/a.png"))
        assert "s3cret" not in str(caught.value)


def test_a_servers_folder_that_holds_itself_comes_to_an_end(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv(urls.ALLOW, "local")
    with pytest.raises(DataError, match="deeper than 32 levels"):
        list(Remote(f"{server[0]}/photos").files())
    assert len(server[1]) < 100


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_a_host_is_plain_and_leads_elsewhere(host: str, server: tuple[str, list[str]]) -> None:
    url, asked = server
    with pytest.raises(SpecError, match=r"is an address of this machine|has no plain host|is no URL"):
        at(f"http://{host}:{url.rpartition(':')[2]}/a.png")
    assert not asked


@pytest.mark.parametrize("host", ["①②⑦.0.0.1", "127。0。0。1", "127.0.0.1", "[::ffff:127.0.0.1]", "127.1", "0x7f.1"])
def test_the_client_itself_connects_to_no_address_of_this_machine(host: str, server: tuple[str, list[str]]) -> None:
    pytest.importorskip("aiohttp")
    url, asked = server
    with pytest.raises((MachineError, OSError)):
        Remote(f"http://{host}:{url.rpartition(':')[2]}/a.png").read_bytes()
    assert not asked


def test_a_plain_host_of_any_kind_is_read() -> None:
    for host in (
        "example.com",
        "EXAMPLE.com.",
        "xn--bcher-kva.de:8080",
        "8.8.8.8",
        "[2001:db8:0:0:0:0:0:1]:80",
        "a_b.test",
    ):
        assert urls.url_fault(f"https://{host}/x") == ("", "")
