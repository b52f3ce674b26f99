"""Make masks of the boxes of one photo beside a loop that does everything box by box, with the same weights."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from pycocotools import mask as coco
from safetensors.torch import save_file
from torch.nn import functional

from autolabel.images import read_pixels
from autolabel.types import Image, Instances, Prompt, Rle, Sample
from autolabel_mal import ensemble
from autolabel_mal.crop import region
from autolabel_mal.labeler import Mal
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import ARCHS, from_arch

HEIGHT, WIDTH = 1080, 1920
MARGINS = (0.6, 0.6)
THRESHOLD = 0.1
Boxes = npt.NDArray[np.float32]


def photo() -> bytes:
    """Return a JPEG of 1920 x 1080 pixels, about 0.5 MB: smooth shapes with a little grain."""
    generator = np.random.default_rng(0)
    coarse = Pillow.fromarray(generator.integers(0, 255, (34, 60, 3), np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Pillow.Resampling.BICUBIC), np.float32)
    grain = generator.normal(0, 6, (HEIGHT, WIDTH, 1))
    buffer = io.BytesIO()
    Pillow.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def some_boxes(count: int) -> Boxes:
    """Return boxes ``x1 y1 x2 y2`` of 30 to 500 pixels, some at the photo's edges."""
    generator = np.random.default_rng(1)
    sides = np.exp(generator.uniform(np.log(30), np.log(500), (count, 2)))
    corner = generator.uniform(0, 1, (count, 2)) * (np.asarray([WIDTH, HEIGHT]) - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def randomised(network: MalNetwork) -> MalNetwork:
    """Return the network with random weights large enough for masks that follow the picture."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(0, 0.08)
    return network


class Clock:
    """Adds up the CPU seconds of the parts of the work."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("input", "network", "output"), 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done in a ``with``."""
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count every call of an object's method."""
        setattr(owner, method, self.counted(getattr(owner, method), name))

    def counted(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return a function whose calls are counted."""

        def call(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return call


def whole_frames(network: MalNetwork, path: Path, boxes: Boxes, clock: Clock) -> list[Rle]:
    """Decode, crop, ask, fill a frame, and encode it, all for each box anew."""
    return [one_box(network, path, box, clock) for box in boxes]


@torch.inference_mode()
def one_box(network: MalNetwork, path: Path, box: npt.NDArray[np.float32], clock: Clock) -> Rle:
    """Return the mask of a box by way of frames as large as the photo."""
    side = network.sizes.crop
    at = region(box, (HEIGHT, WIDTH), MARGINS)
    rows, columns = (np.arange(s, s + n) for s, n in ((at.top, at.height), (at.left, at.width)))
    with clock.part("input"):
        pixels = np.array(Pillow.open(path).convert("RGB"))
        piece = pixels[rows % HEIGHT][:, columns % WIDTH]
        crop = np.asarray(Pillow.fromarray(piece).resize((side, side), Pillow.Resampling.BICUBIC))
        frame = np.zeros((HEIGHT, WIDTH))
        frame[int(box[1]) : int(box[3]) + 1, int(box[0]) : int(box[2]) + 1] = 1
        padded = frame[rows % HEIGHT][:, columns % WIDTH]
        padded[(rows < 0) | (rows >= HEIGHT)] = 0
        padded[:, (columns < 0) | (columns >= WIDTH)] = 0
        inside = Pillow.fromarray(padded.astype(np.uint8)).resize((side, side), Pillow.Resampling.BICUBIC)
        batch = torch.from_numpy(crop.copy())[None]
    logits = network(network.normalise(batch), torch.tensor([at.group]))
    with clock.part("output"):
        soft = bilinear(logits[:, None], side, side).sigmoid() * torch.from_numpy(np.asarray(inside, np.float32))
        stretched = bilinear(soft, at.height, at.width)[0, 0].numpy()
        visible = (rows >= 0) & (rows < HEIGHT), (columns >= 0) & (columns < WIDTH)
        whole = np.zeros((HEIGHT, WIDTH), np.float32)
        whole[np.ix_(rows[visible[0]], columns[visible[1]])] = stretched[np.ix_(*visible)]
        encoded = coco.encode(np.asfortranarray((whole > THRESHOLD).astype(np.uint8)))
        return Rle((HEIGHT, WIDTH), encoded["counts"].decode("ascii"))


def bilinear(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize maps (B, C, h, w)."""
    return functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)


def strategy(mal: Mal, path: Path, boxes: Boxes, clock: Clock) -> list[Rle]:
    """Decode once and have the strategy make all masks."""
    with clock.part("input"):
        pixels = read_pixels(path)
    where = Image(id=path.name, path=str(path), size=(HEIGHT, WIDTH))
    instances = Instances.build(boxes, scores=np.ones(len(boxes)), labels=np.zeros(len(boxes)), rounds=-1)
    sample = Sample(image=where, pixels=pixels, prompt=Prompt(("thing",)), instances=instances)
    masks = mal.segment([sample])[0].masks or ()
    return [mask for mask in masks if mask is not None]


def measure(work: Callable[[], list[Rle]], clock: Clock) -> tuple[dict[str, float], list[Rle]]:
    """Return CPU seconds, whole and of the parts, with the masks; `outside` is all but the network."""
    clock.seconds = dict.fromkeys(clock.seconds, 0.0)
    start = time.process_time()
    masks = work()
    seconds = time.process_time() - start
    return {"seconds": seconds, **clock.seconds, "outside": seconds - clock.seconds["network"]}, masks


def least_overlap(ours: list[Rle], theirs: list[Rle]) -> float:
    """Return the smallest IoU of masks of the same box."""
    pairs = [(a.decode(), b.decode()) for a, b in zip(ours, theirs, strict=True)]
    return min(float((a & b).sum() / max(1, (a | b).sum())) if (a | b).any() else 1.0 for a, b in pairs)


def main() -> None:
    """Print a table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=ARCHS, default="vit-deit-tiny/16", help="with random weights")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the network")
    parser.add_argument("--boxes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    boxes = some_boxes(arguments.boxes)
    with tempfile.TemporaryDirectory() as folder:
        image, weights = Path(folder) / "photo.jpg", Path(folder) / "mal.safetensors"
        image.write_bytes(photo())
        network = randomised(MalNetwork(from_arch(arguments.arch)))
        save_file(network.state_dict(), weights, metadata={"crop_size": str(network.sizes.crop)})
        precision = arguments.precision
        given = {"checkpoint": str(weights), "mask_thres": THRESHOLD, "test_margin_rate": MARGINS}
        mal = Mal(Mal.Params.model_validate({**given, "precision": precision}))
        mal.load("cpu")
        shared = mal._ensemble.networks[0]
        clock = Clock()
        clock.watch(mal._ensemble, "cut", "input")
        clock.watch(mal._ensemble, "batch", "input")
        clock.watch(shared, "normalise", "input")
        clock.watch(shared, "forward", "network")
        encode = clock.counted(ensemble.fastest_encode(), "output")
        ensemble.fastest_encode = lambda: encode  # type: ignore[assignment]
        ways: dict[str, Callable[[], list[Rle]]] = {
            "box by box": lambda: whole_frames(shared, image, boxes, clock),
            "autolabel": lambda: strategy(mal, image, boxes, clock),
        }
        for way in ways.values():  # the first call of each pays for what is imported and built
            way()
        runs = [{name: measure(way, clock) for name, way in ways.items()} for _ in range(arguments.repeats)]
        size = image.stat().st_size
    least = min(least_overlap(run["autolabel"][1], run["box by box"][1]) for run in runs)
    parts = ("seconds", "input", "network", "output", "outside")
    result = {name: {key: median(run[name][0][key] for run in runs) for key in parts} for name in ways}
    print(
        f"{WIDTH}x{HEIGHT} JPEG of {size // 1000} kB, {len(boxes)} boxes, {arguments.arch}, {precision},"
        " CPU seconds of 1 thread"
    )
    for name, figures in result.items():
        each = {key: 1000 * figures[key] / len(boxes) for key in parts}
        print(
            f"{name:12} {1000 / each['seconds']:6.2f} boxes/s; ms a box: {each['input']:5.1f} before the network,"
            f" {each['output']:5.2f} from its logits to the RLE, {each['outside']:5.1f} in all outside the network"
        )
    times = {key: result["box by box"][key] / result["autolabel"][key] for key in parts}
    print(
        f"{times['seconds']:.2f}x as fast: {times['input']:.1f}x before the network, {times['output']:.1f}x from"
        f" logits to the RLE; least IoU {least:.4f}"
    )
    print(json.dumps({"benchmark": "masks", "arch": arguments.arch, "boxes": len(boxes), "least_iou": least, **result}))


if __name__ == "__main__":
    main()
