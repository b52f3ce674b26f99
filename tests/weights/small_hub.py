"""A model hub on the loopback, in which the owner of a repository decides how the hub behaves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlparse

COMMIT = "c" * 40
REFUSALS = {
    "gated": (403, "GatedRepo", "Access to model is restricted"),
    "nobody": (401, "RepoNotFound", "Invalid username or password."),
    "busy": (429, "", "Too many requests"),
    "broken": (500, "", "Internal error"),
    "forbidden": (403, "", "Forbidden"),
}
"""Status, the hub's own code of the error, and its message, by owner."""


class SmallHub:
    """Repositories by name, each a mapping of file names to bytes; ``asked`` has every path that was requested."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    """Serve a hub while the block runs."""
    hub = SmallHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay silent."""

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            hub.asked.append(path)
            api = re.match(r"/api/models/([^/]+)/([^/]+)(?:/revision/(.+))?$", path)
            file = re.match(r"/([^/]+)/([^/]+)/resolve/([^/]+)/(.+)$", path)
            match = api or file
            if match is None:
                return self.answer(404, b"{}")
            owner, name, revision = match[1], match[2], match[3]
            if owner in REFUSALS:
                status, code, message = REFUSALS[owner]
                return self.answer(status, b"{}", X_Error_Code=code, X_Error_Message=message)
            if owner == "page":
                return self.answer(200, b"<html>Log in to the network</html>", Content_Type="text/html")
            if owner == "silent":
                self.close_connection = True
                return self.connection.close()
            if revision not in (None, "main", "v1", COMMIT):
                return self.answer(404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            files = hub.repositories[f"{owner}/{name}"]
            if file is None:
                siblings = [{"rfilename": one} for one in files]
                body = {"id": f"{owner}/{name}", "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}
                return self.answer(200, json.dumps(body).encode(), Content_Type="application/json")
            if file[4] not in files:
                return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            content = files[file[4]]
            tag = hashlib.sha1(content).hexdigest()
            if owner == "cut" and self.command == "GET" and file[4].endswith(".safetensors"):
                self.send_response(200)
                for key, value in {"Content-Length": str(len(content)), "ETag": tag, "X-Repo-Commit": COMMIT}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return None
            return self.answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
