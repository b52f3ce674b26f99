"""Find boxes in k rounds beside a loop written as TAO's works on transformers' stock modules, with equal weights."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from transformers import AutoTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, pipeline
from transformers.utils import logging

import autolabel_labeling.efficientnet  # noqa: F401  (registers the backbone of checkpoints/tiny)
from autolabel.images import read_pixels
from autolabel.run.anneal import Annealing, ImageToSearch, anneal
from autolabel.strategies import Detector
from autolabel.types import Image, Instances, Prompt, Round, Sample, Size
from autolabel_aggregators.nms import Nms
from autolabel_grounding_dino.grounded import _GroundedImage
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.pixels import Shaping
from autolabel_labeling.tokenizer import BERT_BASE

TINY = Path(__file__).resolve().parents[1] / "checkpoints" / "tiny"
CLASSES = ("red star", "blue ring", "platelet", "fig", "date", "hazelnut", "white blood cell", "cat", "car", "person")
FLOOR = 0.05
SCORE_TOLERANCE, BOX_TOLERANCE = 1e-4, 0.1
MOST_BOXES = 100
Phrases = tuple[str, ...]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OptimizerSettings:
    """What is found in each round, told beforehand so that both loops ask the same: the forward passes are real.

    Every round finds the first phrase asked, so that the next one asks others; an image leaves when all are found.
    """

    classes: Phrases
    rounds: int
    images: int
    halving: bool

    def asked(self, round: int) -> int:
        """Return how many images still have phrases to find in a round."""
        return max(1, self.images >> round) if self.halving else self.images

    def found(self, position: int, phrases: Phrases) -> Phrases:
        """Return the phrases found in an image; how many are asked tells the round."""
        after = self.asked(len(self.classes) - len(phrases) + 1)
        return phrases[:1] if position < after else phrases

    @property
    def name(self) -> str:
        """Return the course in words, with the images asked in each round."""
        if self.rounds == 1:
            return "k=1"
        asked = ", ".join(str(self.asked(round)) for round in range(self.rounds))
        return f"k={self.rounds}, {'half leave' if self.halving else 'none leave'} (asked {asked})"


class Directed(Detector):
    """Runs a detector, keeps its answers, and hands out what the course says instead."""

    name = "directed"

    def __init__(self, inner: GroundingDino, course: OptimizerSettings) -> None:
        super().__init__(inner.params)
        self.inner, self.course = inner, course
        self.answers: dict[tuple[int, Phrases], Instances] = {}

    def load(self, device: str) -> None:
        """Load the detector."""
        self.inner.load(device)

    def prepare(self, batch: Sequence[Any]) -> Sequence[tuple[int, _GroundedImage]]:
        """Prepare (position, resized image) items."""
        seen = self.inner.prepare([item for _, item in batch])
        return [(position, image) for (position, _), image in zip(batch, seen, strict=True)]

    def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        """Return one box for each phrase that the course finds."""
        found = self.inner.detect([image for _, image in prepared], prompts, floor)
        results = []
        for (position, _), prompt, instances in zip(prepared, prompts, found, strict=True):
            self.answers[position, prompt.phrases] = instances
            count = len(self.course.found(position, prompt.phrases))
            boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1))
            results.append(Instances.build(boxes, scores=np.ones(count), labels=np.arange(count)))
        return results


@dataclass
class Stock:
    """transformers' own model, asked as TAO asks: decode, resize and one whole forward pass each time."""

    model: Any
    tokenizer: Any
    shaping: Shaping
    answers: dict[tuple[int, Phrases], tuple[Floats, Floats]] = field(default_factory=dict)

    def run(self, paths: Sequence[Path], course: OptimizerSettings) -> None:
        """Pass over all images once a round; an image with nothing left is asked the empty caption, as in TAO."""
        self.answers = {}
        left = [course.classes for _ in paths]
        for _ in range(course.rounds):
            for position, path in enumerate(paths):
                phrases = left[position]
                self.answers[position, phrases] = self.look(path, phrases)
                found = course.found(position, phrases) if phrases else ()
                left[position] = tuple(phrase for phrase in phrases if phrase not in found)

    @torch.inference_mode()
    def look(self, path: Path, phrases: Phrases) -> tuple[Floats, Floats]:
        """Return scores (queries, phrases) and corners in pixels (queries, 4) of one image."""
        with Pillow.open(path) as image:
            width, height = image.size
            rows, columns = self.shaping.resized((height, width))
            resized = np.array(image.convert("RGB").resize((columns, rows), Pillow.Resampling.BILINEAR))
        colours = torch.from_numpy(resized).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(three)[:, None, None] for three in (self.shaping.mean, self.shaping.std))
        text = self.tokenizer(" . ".join(phrases) + " .", return_tensors="pt")
        answer = self.model(**text, pixel_values=((colours - mean) / std)[None])
        scores = answer.logits[0].sigmoid() @ spans(text, phrases).T
        centre, half = answer.pred_boxes[0, :, :2], answer.pred_boxes[0, :, 2:] / 2
        corners = torch.cat([centre - half, centre + half], 1) * torch.tensor([width, height, width, height])
        if phrases:  # what TAO keeps: not used further, the course says what is found
            best = scores.flatten().topk(min(MOST_BOXES, scores.numel()))
            _ = corners[best.indices // len(phrases)][best.values > FLOOR]
        return scores.numpy(), corners.numpy()


def spans(text: Any, phrases: Phrases) -> torch.Tensor:
    """Return (phrases, 256): the share of each token in the mean of a phrase."""
    shares = torch.zeros(len(phrases), 256)
    start = 0
    for row, phrase in enumerate(phrases):
        first, last = text.char_to_token(start), text.char_to_token(start + len(phrase) - 1)
        shares[row, first : last + 1] = 1 / (last + 1 - first)
        start += len(phrase) + len(" . ")
    return shares


def in_order(detector: GroundingDino) -> Phrases:
    """Return the classes as our caption lists them: in another order float32 rounds otherwise, and proposals that are
    nearly tied may change places, with the stock model as with ours."""
    (caption,) = detector.captions(Prompt(CLASSES))
    return tuple(CLASSES[label] for (label,) in caption.labels)


def ours(detector: GroundingDino, paths: Sequence[Path], course: OptimizerSettings) -> Directed:
    """Label all images with the annealing loop; return the detector, which keeps the answers."""
    directed = Directed(detector, course)
    thresholds = np.linspace(FLOOR, 0.5, course.rounds)[::-1]
    rounds = [Round(index=index, conf_threshold=float(one)) for index, one in enumerate(thresholds)]
    annealing = Annealing(rounds, Nms(Nms.Params()), "missing")
    batches = ([ask(detector, position, path, course.classes)] for position, path in enumerate(paths))
    for _, outcome in anneal(directed, batches, annealing, batch_size=1):
        if isinstance(outcome, Exception):
            raise outcome
    return directed


def ask(detector: GroundingDino, position: int, path: Path, classes: Phrases) -> ImageToSearch:
    """Decode and resize one image, as a worker does."""
    pixels, prompt = read_pixels(path), Prompt(classes)
    image = Image(id=path.name, path=str(path), size=pixels.shape[:2])
    sample = Sample(image=image, pixels=pixels, prompt=prompt, instances=Instances.empty())
    return ImageToSearch(position, prompt, image.size, (position, detector.preprocess(sample)))


@dataclass
class Difference:
    """How far answers are apart at most."""

    score: float = 0.0
    box: float = 0.0
    boxes: int = 0
    within: int = 0

    def take(self, found: Instances, scores: Floats, corners: Floats) -> None:
        """Compare each candidate with the query of the stock model that is nearest to it, both in tolerances."""
        for label in np.unique(found.labels):
            mine = found.labels == label
            apart = np.abs(found.scores[mine][:, None] - scores[None, :, label])
            moved = np.abs(found.boxes[mine][:, None] - corners[None]).max(-1)
            nearest = np.maximum(apart / SCORE_TOLERANCE, moved / BOX_TOLERANCE).argmin(1)[:, None]
            score, box = (np.take_along_axis(table, nearest, 1) for table in (apart, moved))
            self.score, self.box = max(self.score, float(score.max())), max(self.box, float(box.max()))
            self.within += int(((score <= SCORE_TOLERANCE) & (box <= BOX_TOLERANCE)).sum())
        self.boxes += len(found)

    @property
    def equal(self) -> bool:
        """Return whether something was compared, all of it within the tolerances."""
        return 0 < self.boxes == self.within


def swin_t(folder: Path, size: Size, configuration: GroundingDinoConfig | None = None) -> Path:
    """Write a full-size Swin-T checkpoint with random weights, gates and offsets that start at zero among them.

    All queries start alike, so that proposals in nearly a tie, of which random weights make many, may change ranks.
    """
    folder.mkdir()
    torch.manual_seed(0)
    model = GroundingDinoForObjectDetection(configuration or GroundingDinoConfig())
    for name, parameter in model.named_parameters():
        if name.endswith(("vision_param", "text_param")):
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
        elif name.endswith("query_position_embeddings.weight"):
            parameter.data[:] = parameter.data[:1].clone()
        elif parameter.ndim > 1 and bool((parameter == parameter.flatten()[0]).all()):
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder)
    shutil.copy(BERT_BASE / "vocab.txt", folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    processor = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "size": {"shortest_edge": min(size), "longest_edge": max(size)},
        "do_pad": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def photos(folder: Path, count: int, size: Size) -> list[Path]:
    """Write JPEGs of twice ``size``: smooth shapes with a little grain."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    height, width = 2 * size[0], 2 * size[1]
    paths = [folder / f"{index:03}.jpg" for index in range(count)]
    for path in paths:
        coarse = Pillow.fromarray(generator.integers(0, 255, (12, 20, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Pillow.Resampling.BICUBIC), np.float32)
        grain = generator.normal(0, 6, (height, width, 1))
        Pillow.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(path, quality=85)
    return paths


def clock(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return CPU and wall seconds of a call with its result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}, result


def report(name: str, mine: dict[str, float], theirs: dict[str, float], *, images: int) -> dict[str, Any]:
    """Print one comparison; return it with seconds an image."""
    row: dict[str, Any] = {"case": name, "images": images}
    row |= {f"ours_{kind}": mine[kind] / images for kind in mine}
    row |= {f"peer_{kind}": theirs[kind] / images for kind in theirs}
    row |= {"ratio_cpu": theirs["cpu"] / mine["cpu"], "ratio_wall": theirs["wall"] / mine["wall"]}
    print(
        f"{name:56} {row['ours_cpu']:7.2f} {row['peer_cpu']:7.2f} {row['ratio_cpu']:6.2f}x"
        f"   {row['ours_wall']:7.2f} {row['peer_wall']:7.2f} {row['ratio_wall']:6.2f}x",
        flush=True,
    )
    return row


def size_of(text: str) -> Size:
    """Return (height, width) of a text like 480x800."""
    height, width = map(int, text.split("x"))
    return height, width


def main() -> None:
    """Print a table, whether the answers are equal, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("tiny", "swin-t"), default="tiny", help="swin-t: full size, random weights")
    parser.add_argument("--size", type=size_of, default="480x800", help="height x width of swin-t's input")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--leaving", choices=("none", "half"), nargs="+", default=["none", "half"], help="a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="autolabel's")
    parser.add_argument("--no-pipeline", action="store_true", help="leave transformers' pipeline out")
    parser.add_argument("--profile", action="store_true", help="print where the time of one image of ours goes")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        tiny = arguments.model == "tiny"
        checkpoint = TINY if tiny else swin_t(Path(name) / "swin-t", arguments.size)
        paths = photos(Path(name) / "photos", arguments.images, arguments.size)
        compare(checkpoint, paths, arguments)


def compare(checkpoint: Path, paths: Sequence[Path], arguments: argparse.Namespace) -> None:
    """Run both loops by turns over the same images."""
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(checkpoint), precision=arguments.precision))
    detector.load("cpu")
    model = GroundingDinoForObjectDetection.from_pretrained(checkpoint, dtype=torch.float32).eval()
    stock = Stock(model, AutoTokenizer.from_pretrained(checkpoint), detector.shaping)
    height, width = detector.shaping.resized(read_pixels(paths[0]).shape[:2])
    classes = in_order(detector)
    ours(detector, paths[:1], OptimizerSettings(classes, 1, 1, halving=False))
    stock.look(paths[0], classes)
    if arguments.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            ours(detector, paths[:1], OptimizerSettings(classes, 1, 1, halving=False))
        print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))
    load = os.getloadavg()[0]
    print(
        f"{arguments.model}, input {height}x{width}, {len(CLASSES)} classes, {len(paths)} images, batches of 1,"
        f" {arguments.threads} thread(s), {arguments.precision}, load {load:.1f}"
    )
    print(f"{'seconds an image':56} {'ours':>7} {'peer':>7}   CPU     {'ours':>7} {'peer':>7}  wall")
    rows, difference = [], Difference()
    courses = [
        OptimizerSettings(classes, k, len(paths), halving=halving)
        for k in arguments.rounds
        for halving in [leaving == "half" for leaving in (arguments.leaving if k > 1 else ["none"])]
    ]
    for course in courses:
        mine, directed = clock(lambda: ours(detector, paths, course))  # noqa: B023
        theirs, _ = clock(lambda: stock.run(paths, course))  # noqa: B023
        rows.append(report(f"TAO-style loop, {course.name}", mine, theirs, images=len(paths)))
        for key, found in directed.answers.items():
            difference.take(found, *stock.answers[key])
    if not arguments.no_pipeline:
        rows += pipelines(detector, stock, checkpoint, paths, classes)
    print(
        f"{difference.boxes} boxes above {FLOOR}: {difference.within} equal to the stock model's within"
        f" {SCORE_TOLERANCE} in score and {BOX_TOLERANCE} px; most apart {difference.score:.1e} and"
        f" {difference.box:.1e} px"
    )
    settings = {"model": arguments.model, "input": [height, width], "threads": arguments.threads, "load": load}
    apart = {"equal": difference.equal, **asdict(difference)}
    print(json.dumps({"benchmark": "boxes", **settings, "rows": rows, "difference": apart}))


def pipelines(
    detector: GroundingDino, stock: Stock, checkpoint: Path, paths: Sequence[Path], classes: Phrases
) -> list[dict[str, Any]]:
    """Compare one round with transformers' pipeline: given all classes as one caption, and given a list of classes."""
    pipe: Any = pipeline(
        "zero-shot-object-detection",
        model=stock.model,
        tokenizer=stock.tokenizer,
        image_processor=str(checkpoint),
    )
    caption = [" . ".join(classes) + " ."]
    rows = []
    for name, labels, chosen in (("one caption", caption, paths), ("a list of classes", list(classes), paths[:1])):
        course = OptimizerSettings(classes, 1, len(chosen), halving=False)
        mine, _ = clock(lambda: ours(detector, chosen, course))  # noqa: B023
        theirs, _ = clock(lambda: [pipe(str(path), candidate_labels=labels) for path in chosen])  # noqa: B023
        rows.append(report(f"pipeline, {name}", mine, theirs, images=len(chosen)))
    return rows


if __name__ == "__main__":
    main()
