"""The benchmark of decoding compares with Pillow alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.images import jpeg
from benchmarks.decoding import by_autolabel, by_pillow

SIZE = (48, 64)


def test_pillow_is_measured_without_the_other_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tmp_path / "photo.jpg"
    Pillow.new("RGB", SIZE[::-1], (200, 30, 30)).save(photo)

    def black(data: bytes, **options: Any) -> Any:
        return np.zeros((*SIZE, 3), np.uint8)

    monkeypatch.setattr(jpeg, "_decoder", lambda: black)
    assert by_autolabel(photo, SIZE).max() == 0
    assert by_pillow(photo, SIZE).max() > 150
