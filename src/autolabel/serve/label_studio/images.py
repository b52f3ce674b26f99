"""Resolve the image of a task: inline, below a served folder, or on the Label Studio server."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from autolabel import safe_names
from autolabel.plan.model import Plan
from autolabel.serve.body import DATA_URI, unpacked
from autolabel.serve.label_studio.server import LabelStudioServer
from autolabel.serve.refusal import Refusal
from autolabel.storage import is_url

_LOCAL_FILES = "/data/local-files/"
"""Label Studio's path of files below its document root, which ``?d=`` names."""


class ImagePlaces:
    """Resolves the images of tasks, only inside the folders and on the Label Studio server."""

    def __init__(self, folders: Sequence[str], server: LabelStudioServer, *, most: int) -> None:
        """Read below ``folders``; paths may be relative to them, to their parents, or to their common parent."""
        self._folders = [os.path.realpath(folder) for folder in folders]
        tops = [posixpath.dirname(folder) for folder in self._folders]
        shared = [posixpath.commonpath(self._folders)] if self._folders else []
        self._bases = list(dict.fromkeys([*tops, *shared, *self._folders]))
        self._server = server
        self._most = most

    def find(self, said: object) -> bytes | str:
        """Return an image's bytes or file path; raises Refusal if it is elsewhere."""
        if not isinstance(said, str) or not said:
            raise Refusal(422, "the task names no image")
        if said.startswith(DATA_URI):
            return unpacked(said)
        try:
            parts, elsewhere = urlsplit(said), self._server.serves(said)
        except ValueError as error:
            raise Refusal(422, f"{said[:200]!r} is not the address of an image: {error}") from None
        if parts.path == _LOCAL_FILES and (elsewhere is not None or not parts.netloc):
            names = parse_qs(parts.query).get("d", [])
            if len(names) == 1 and (path := self.below(names[0])) is not None:
                return path
        if elsewhere is not None:
            return self._server.fetch(elsewhere, most=self._most)
        hint = "images are read from data URIs, below the folders of the spec or --root, and from Label Studio itself"
        raise Refusal(422, f"{said[:200]!r} is outside the places that images are read from", hint=hint)

    def below(self, name: str) -> str | None:
        """Return the path of a regular file below a served folder; None if there is none."""
        if safe_names.path_fault(name) or "\0" in name:
            return None
        for base in self._bases:
            try:
                path = os.path.realpath(posixpath.join(base, name))
                inside = any(path.startswith(f"{folder.rstrip('/')}/") for folder in self._folders)
                if inside and stat.S_ISREG(Path(path).stat().st_mode):
                    return path
            except (OSError, ValueError):
                continue
        return None


def folders_of(plan: Plan) -> list[str]:
    """Return the folders of images of a plan that are on this machine."""
    return [root for root in plan.manifest.roots.values() if not is_url(root) and Path(root).is_dir()]
