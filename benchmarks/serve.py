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
from collections.abc import Callable, Iterator, Sequence
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


def spec(folder: Path, checkpoint: str, **run: Any) -> Path:
    """Write a spec of one detector, one round, and return its file."""
    written = {
        "version": 1,
        "data": {"images": [str(PHOTOS[0].parent)], "classes": ["red blood cell", "white blood cell", "platelet"]},
        "stages": [
            {
                "labeler": {"type": "grounding_dino", "checkpoint": checkpoint},
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

    def ask(self, data: bytes) -> None:
        """Send a photo and read its row."""
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "image/jpeg"}
        self._connection.request("POST", "/predict", data, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and b'"state":"failed"' not in body, (answer.status, body[:300])


def detector_alone(path: Path, repeats: int) -> float:
    """Return the median seconds of the detector for one photo: preprocess, prepare, detect; decoding is not in it."""
    from autolabel import discover, load_spec
    from autolabel.executors.tuning import tune_process
    from autolabel.images import read_pixels
    from autolabel.plan.compile import compile_rowless
    from autolabel.run.stage import make_labeler
    from autolabel.strategies import Detector
    from autolabel.types import Image, Instances, Prompt, Sample

    registry = discover()
    plan = compile_rowless(load_spec(path, registry=registry), registry=registry)
    tune_process(plan.execution.threads)
    detector = make_labeler(plan.recipe.stages[0], registry)
    assert isinstance(detector, Detector)
    detector.load("cpu")
    prompt = Prompt(plan.manifest.classes)
    pixels = read_pixels(PHOTOS[0])
    image = Image(id="a", path=str(PHOTOS[0]), size=(pixels.shape[0], pixels.shape[1]))
    sample = Sample(image=image, pixels=pixels, prompt=prompt, instances=Instances.empty())
    return median(lambda: detector.detect(detector.prepare([detector.preprocess(sample)]), [prompt], FLOOR), repeats)


def alone(path: str, repeats: str) -> None:
    """Print what ``detector_alone`` finds, in a process of its own."""
    print(detector_alone(Path(path), int(repeats)))


def median(work: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of some work, after two rounds that warm it up."""
    taken = []
    for number in range(repeats + 2):
        began = time.perf_counter()
        work()
        if number > 1:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def cost(folder: Path, name: str, checkpoint: str, repeats: int) -> None:
    """Print what one photo costs through /predict, and what the detector alone: in turns, on the same machine."""
    path = spec(folder, checkpoint, batch_size=4)
    detecting: list[float] = []
    through: list[float] = []
    data = PHOTOS[0].read_bytes()
    for _ in range(3):
        script = "import sys; from benchmarks.serve import alone; alone(*sys.argv[1:])"
        command = [sys.executable, "-c", script, str(path), str(repeats)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        detecting.append(float(done.stdout.splitlines()[-1]))
        with served(path) as (port, _):
            ask = partial(Client(port).ask, data)
            through.append(median(ask, repeats))
    ratio = min(through) / min(detecting)
    print(
        f"{name}: the detector {1000 * min(detecting):.1f} ms, /predict {1000 * min(through):.1f} ms: {ratio:.2f} times"
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
    """Print what the server holds after a tenth, a half and all of many requests for small photos."""
    import psutil
    from PIL import Image

    small = []
    for photo in PHOTOS[:4]:
        stream = io.BytesIO()
        with Image.open(photo) as image:
            image.resize((160, 120)).save(stream, "JPEG")
        small.append(stream.getvalue())
    path = spec(folder, "tiny", batch_size=4)
    held: list[str] = []
    with served(path) as (port, pid):
        client = Client(port)
        for number in range(1, requests + 1):
            client.ask(small[number % len(small)])
            if number in (requests // 10, requests // 2, requests):
                held.append(f"{number:,}: {psutil.Process(pid).memory_info().rss / (1 << 20):.0f} MiB")
    print(f"memory after requests: {', '.join(held)}")


def main(words: Sequence[str] | None = None) -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="requests of the memory test; 10000 takes long")
    parser.add_argument("--large", action="store_true", help="measure a random Swin-T too")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost(folder, "tiny", "tiny", 10)
        if asked.large:
            from benchmarks.boxes import swin_t

            cost(folder, "random Swin-T", str(swin_t(folder / "swin-t", (480, 800))), 3)
        throughput(folder, 60)
        memory(folder, asked.requests)


if __name__ == "__main__":
    main()
