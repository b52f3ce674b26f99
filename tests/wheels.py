"""Check built distributions, ``python tests/wheels.py DIST``: small, complete, and the quickstart runs from them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
MOST = {"autolabel_vision": 5e6, "autolabel_vision_checkpoints": 80e6}
"""Bytes of a wheel or an sdist."""
HOLDS = {
    "autolabel_vision": (
        "autolabel/py.typed",
        "autolabel/report/page/script.js",
        "autolabel_labeling/bert_base_uncased/vocab.txt",
    ),
    "autolabel_vision_checkpoints": (
        "autolabel_checkpoints/tiny/config.json",
        "autolabel_checkpoints/tiny-mal/config.json",
    ),
}
IN_PLACE = "import autolabel, pathlib; print(pathlib.Path(autolabel.__file__).resolve())"


def faults(dist: Path) -> list[str]:
    """Return what is wrong with the sizes and the contents."""
    found = []
    for name, most in MOST.items():
        built = [path for path in dist.iterdir() if path.name.startswith(f"{name}-")]
        if len({path.suffix for path in built} & {".whl", ".gz"}) != 2:
            found.append(f"{name}: wanted a wheel and an sdist, found {[path.name for path in built]}")
        found += [f"{path.name}: {path.stat().st_size:,} bytes" for path in built if path.stat().st_size > most]
        for wheel in (path for path in built if path.suffix == ".whl"):
            held = set(zipfile.ZipFile(wheel).namelist())
            found += [f"{wheel.name}: lacks {one}" for one in HOLDS[name] if one not in held]
    return found


def run_quickstart(dist: Path, folder: Path) -> None:
    """Install the wheels beside this environment's packages and run the quickstart from them, away from the clone."""
    target = folder / "installed"
    wheels = [str(path) for path in sorted(dist.glob("*.whl"))]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), *wheels], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "AUTOLABEL_CHECKPOINTS": ""}
    place = subprocess.run(
        [sys.executable, "-c", IN_PLACE], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    assert Path(place.stdout.strip()).is_relative_to(target.resolve()), place.stdout
    spec = [str(ROOT / "specs" / "quickstart.yaml"), f"results_dir={folder / 'run'}", "devices=cpu"]
    subprocess.run([sys.executable, "-m", "autolabel", "generate", *spec], env=environment, cwd=folder, check=True)


def main(dist: Path) -> int:
    """Print what is wrong; return 1 where something is."""
    found = faults(dist)
    for path in sorted(dist.iterdir()):
        print(f"{path.stat().st_size / 1e6:6.1f} MB  {path.name}")
    for fault in found:
        print(fault, file=sys.stderr)
    with TemporaryDirectory() as folder:
        run_quickstart(dist.resolve(), Path(folder))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
