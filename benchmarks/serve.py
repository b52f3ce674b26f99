"""What serving costs: /predict beside the detector alone, many clients beside one, memory over many requests.

``python -m benchmarks.serve [--requests N] [--large]``. Figures are printed, never checked.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PHOTOS = sorted((ROOT / "examples" / "bccd" / "images").glob("*.jpg"))
TOKEN = "benchmark"
CLIENTS = 16
FLOOR = 0.3


def spec(folder: Path, checkpoint: str, *, sizes: Mapping[str, int] | None = None, **run: Any) -> Path:
    """Write a spec of one detector, one round, and return its file; ``sizes`` are what the network sees."""
    written = {
        "version": 1,
        "data": {"images": [str(PHOTOS[0].parent)], "classes": ["red blood cell", "white blood cell", "platelet"]},
        "stages": [
            {
                "labeler": {"type": "grounding_dino", "checkpoint": checkpoint, **(sizes or {})},
                "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": FLOOR}]},
            }
        ],
        "devices": "cpu",
        "run": run,
        "export": [],
        "results_dir": str(folder / "run"),
    }
    path = folder / f"spec-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(written))
    return path


@contextmanager
def served(path: Path, *words: str) -> Iterator[tuple[int, int]]:
    """Serve a spec; yield the port and the process."""
    command = [sys.executable, "-m", "autolabel", "serve", str(path), "--port", "0", "--token", TOKEN, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "the server does not start"
        try:
            yield int(found[1]), process.pid
        finally:
            process.terminate()


class Client:
    """One connection that sends photo after photo."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(self, data: bytes, classes: str = "") -> None:
        """Send a photo and read its row; one class may be asked in place of the spec's."""
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "image/jpeg"}
        self._connection.request("POST", f"/predict?classes={classes}" if classes else "/predict", data, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and b'"state":"failed"' not in body, (answer.status, body[:300])


def alone(path: str) -> None:
    """Detect in one photo for every line of stdin, and print the seconds: preprocess, prepare, detect; no decoding."""
    from autolabel.executors.tuning import tune_process
    from autolabel.plan.machine import cores

    tune_process(cores())
    from autolabel import discover, load_spec
    from autolabel.images import read_pixels
    from autolabel.plan.compile import compile_rowless
    from autolabel.run.stage import make_labeler
    from autolabel.strategies import Detector
    from autolabel.types import Image, Instances, Prompt, Sample

    registry = discover()
    plan = compile_rowless(load_spec(path, registry=registry), registry=registry)
    detector = make_labeler(plan.recipe.stages[0], registry)
    assert isinstance(detector, Detector)
    detector.load("cpu")
    prompt = Prompt(plan.manifest.classes)
    pixels = read_pixels(PHOTOS[0])
    image = Image(id="a", path=str(PHOTOS[0]), size=(pixels.shape[0], pixels.shape[1]))
    sample = Sample(image=image, pixels=pixels, prompt=prompt, instances=Instances.empty())
    for _ in sys.stdin:
        took = seconds(lambda: detector.detect(detector.prepare([detector.preprocess(sample)]), [prompt], FLOOR))
        print(took, flush=True)


@contextmanager
def detecting(path: Path) -> Iterator[Callable[[], float]]:
    """Load the detector of a spec in a process of its own; yield what has it detect once and returns the seconds."""
    script = "import sys; from benchmarks.serve import alone; alone(sys.argv[1])"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asking, answers = process.stdin, process.stdout
        assert asking is not None and answers is not None

        def once() -> float:
            asking.write("\n")
            asking.flush()
            return float(answers.readline())

        yield once
        asking.close()


def seconds(work: Callable[[], Any]) -> float:
    """Return how long some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cost(folder: Path, name: str, checkpoint: str, repeats: int) -> None:
    """Print what one photo costs through /predict and what the detector alone takes, in turns on the same machine."""
    path = spec(folder, checkpoint, batch_size=4)
    data = PHOTOS[0].read_bytes()
    with detecting(path) as detect, served(path) as (port, _):
        ask = partial(Client(port).ask, data)
        for _ in range(2):
            detect(), ask()
        pairs = [(detect(), seconds(ask)) for _ in range(repeats)]
    detected, asked = (statistics.median(one) for one in zip(*pairs, strict=True))
    ratio = statistics.median(through / own for own, through in pairs)
    least = min(through for _, through in pairs) / min(own for own, _ in pairs)
    print(
        f"{name}: the detector {1000 * detected:.1f} ms, /predict {1000 * asked:.1f} ms: {ratio:.2f} times "
        f"(medians of {repeats} pairs; {least:.2f} times between the quickest of each)"
    )


def throughput(folder: Path, requests: int) -> None:
    """Print how many photos a second one client gets, and sixteen, of the same server."""
    path = spec(folder, "tiny", batch_size=4, workers_per_device=os.cpu_count() or 1)
    with served(path, "--queue", "64") as (port, _):
        rates = [(clients, rate(port, clients, requests)) for clients in (1, CLIENTS, 1, CLIENTS)]
    one = max(found for clients, found in rates if clients == 1)
    many = max(found for clients, found in rates if clients == CLIENTS)
    print(f"one client {one:.1f} photos/s, {CLIENTS} clients {many:.1f} photos/s: {many / one:.2f} times")


def rate(port: int, clients: int, requests: int) -> float:
    """Return photos a second, after a few that warm the server up."""
    photos = [photo.read_bytes() for photo in PHOTOS]
    asking = [Client(port) for _ in range(clients)]
    for client in asking:
        client.ask(photos[0])
    left = iter(range(requests))
    lock = threading.Lock()

    def work(client: Client) -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            client.ask(photos[number % len(photos)])

    threads = [threading.Thread(target=work, args=(client,)) for client in asking]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return requests / (time.perf_counter() - began)


def memory(folder: Path, requests: int) -> None:
    """Print what the server holds after many requests: photos of 48 shapes, half of them asked for new classes.

    The network sees them at 96 pixels: what is kept from one request to the next does not depend on that.
    """
    import psutil

    photos = [small(PHOTOS[number % len(PHOTOS)], (100 + 7 * number, 260 - 3 * number)) for number in range(48)]
    path = spec(folder, "tiny", sizes={"short_side": 96, "long_side": 160}, batch_size=4)
    points = [round(requests * part) for part in (0.1, 0.25, 0.5, 0.75, 1)]
    held: list[str] = []
    with served(path) as (port, pid):
        client = Client(port)
        for number in range(1, requests + 1):
            client.ask(photos[number % len(photos)], f"object{number}" if number % 2 else "")
            if number in points:
                held.append(f"{number:,}: {psutil.Process(pid).memory_info().rss / (1 << 20):.0f} MiB")
    print(f"memory after requests: {', '.join(held)}")


def small(photo: Path, size: tuple[int, int]) -> bytes:
    """Return a photo at another size, as a JPEG."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(photo) as image:
        image.resize(size).save(stream, "JPEG")
    return stream.getvalue()


def main(words: Sequence[str] | None = None) -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="requests of the memory test; 10000 takes long")
    parser.add_argument("--large", action="store_true", help="measure a random Swin-T too")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost(folder, "tiny", "tiny", 30)
        if asked.large:
            from benchmarks.boxes import swin_t

            cost(folder, "random Swin-T", str(swin_t(folder / "swin-t", (480, 800))), 5)
        throughput(folder, 60)
        memory(folder, asked.requests)


if __name__ == "__main__":
    main()
