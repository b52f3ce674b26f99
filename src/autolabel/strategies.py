"""The interfaces of strategies: schedulers, aggregators, labelers of five kinds, looks, exporters."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeVar

from autolabel.endpoint import EndpointAccount
from autolabel.errors import ImageError
from autolabel.fields import ExplainedModel
from autolabel.types import Instances, Labels, Prompt, Provenance, Round, Sample, Size
from autolabel.weights import UNKNOWN, Licence, licence_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from autolabel.images import ValueRange


class StrategyParams(ExplainedModel):
    """The spec parameters of a strategy; each strategy class has its own subclass as ``Params``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


P = TypeVar("P", bound=StrategyParams, default=StrategyParams, covariant=True)


class Strategy(ABC, Generic[P]):
    """A class with a name and typed parameters, instantiated as ``cls(params)`` once per run or once per worker."""

    name: ClassVar[str]
    """The word after ``type:`` in a spec."""

    class Params(StrategyParams):
        """The spec parameters; a subclass defines its own fields."""

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Parameters that decide where and how the work is done, and change no result: no part of a plan's digest."""
    params: P

    def __init__(self, params: P) -> None:
        self.params = params


class Scheduler(Strategy[P]):
    """Turns parameters into literal rounds; called once, by the compiler."""

    @abstractmethod
    def rounds(self) -> Sequence[Round]:
        """Return at least one round, indexed from 0. Pure."""


class Aggregator(Strategy[P]):
    """Merges the boxes that all rounds so far have found in one image."""

    @abstractmethod
    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the boxes to keep of ``instances``, the raw union of all rounds so far (not an earlier result). Pure.

        A box keeps the round that found it; a merged box has the earliest round and the highest score of its parts. If
        ``round.nms_threshold`` is not None, it replaces the aggregator's own threshold; 0 means: change nothing.
        """


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests to an endpoint, for the forecast of a plan."""

    requests: int = 0
    images: int = 0
    """Images that are sent."""
    tokens: int = 0
    """About how many, of questions and answers."""

    def __add__(self, other: Requests) -> Requests:
        """Return the sum of both."""
        return Requests(self.requests + other.requests, self.images + other.images, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding of an examination of a labeler."""

    subject: str
    said: str
    right: bool | None = None
    """Whether that is as it should be; None: it is neither."""
    hint: str = ""


S = TypeVar("S", bound=StrategyParams, default=StrategyParams)


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning(Generic[S]):
    """The task of a fine-tuning: the training data, and the folder for the new weights."""

    train: Sequence[Labels]
    """Images whose boxes are all known; one without boxes shows none of the classes."""
    dev: Sequence[Labels]
    """Images that decide which weights are kept; nothing is learnt from them. They have masks where those are known."""
    classes: tuple[str, ...]
    settings: S
    """The user's settings, validated by ``Labeler.Training``."""
    out: Path
    """The new checkpoint lands in its folder ``checkpoint``; the rest of it is the labeler's own, to go on from."""
    device: str
    told: Callable[[Mapping[str, Any]], None]
    """Called with records of progress."""
    dev_groups: Sequence[str] = ()
    """The group of each dev image: near-duplicates share one. Empty: no two are near-duplicates."""
    value_range: ValueRange = None
    """The values that become black and white in images of more than 8 bits; see ``autolabel.images.read_pixels``."""


class Labeler(Strategy[P]):
    """Finds or refines objects, in a worker, on one device. Subclass one of its five kinds below."""

    desk: EndpointAccount = EndpointAccount()
    """For a labeler that uses an endpoint: the answer cache and the budget; set before ``load``."""

    needs: ClassVar[Literal["prompts", "boxes", "images"]]
    gives: Literal["boxes", "masks", "captions"]
    """Said by the class; one that wraps another says what that gives."""
    Training: ClassVar[type[StrategyParams] | None] = None
    """The settings of ``fine_tune``; None: this labeler cannot be trained."""

    @abstractmethod
    def load(self, device: str) -> None:
        """Read the weights onto ``device``: ``"cpu"``, ``"cuda:0"`` or ``"mps"``. Called once, before any other work.

        Raises WeightsError if the files are missing, refused, or do not fit.
        """

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the batch key of an image of ``size`` (height, width); equal keys may share a batch. No torch."""
        return size

    def files(self) -> Sequence[Path]:
        """Return the weight files (their bytes enter the digest); raise WeightsError if one is missing. No torch."""
        return ()

    def check(self) -> None:
        """Raise WeightsError if the weights cannot be loaded, as far as their headers tell.

        Called when a plan is compiled, before anything is written; must read headers only and not import torch.
        """

    def captioner(self) -> Captioner | None:
        """Return a captioner with the same model, for ``captions: {labeler: ...}``; None if there is none."""
        return None

    def sends_to(self) -> Sequence[str]:
        """Return the URLs that images are sent to; empty if they stay in this process."""
        return ()

    def examine(self) -> Sequence[Finding]:
        """Test the endpoint with pictures whose answer is known, for ``autolabel doctor --endpoint``."""
        return ()

    def counters(self) -> dict[str, int]:
        """Return counts of the work done since ``load``, such as forward passes, for progress and tests."""
        return {}

    def fine_tune(self, task: FineTuning[Any]) -> None:
        """Fine-tune on images with known boxes, and write a new checkpoint; called without ``load``.

        A stopped training resumes from ``task.out``. Raises MachineError if packages or memory are missing,
        WeightsError if the weights cannot be trained.
        """
        raise NotImplementedError

    def licence(self) -> Licence:
        """Return the licence of the weights as stated by the files beside them."""
        files = self.files()
        return licence_of(files[0]) if files else UNKNOWN


@dataclass(frozen=True, slots=True)
class Reading:
    """How a detector reads a phrase."""

    pieces: tuple[int | str, ...]
    """The tokens of the phrase; phrases with equal tokens are the same to the model."""
    unknown: tuple[str, ...] = ()
    """The parts of the phrase that the model has no word for."""
    readable: bool = True
    """Whether anything of it is left besides."""


class Detector(Labeler[P]):
    """A labeler from prompts to boxes, or to boxes and masks (``gives = "masks"``)."""

    needs = "prompts"
    gives: Literal["boxes", "masks"] = "boxes"

    def preprocess(self, sample: Sample) -> Any:
        """Convert a sample to the input of ``prepare``; runs in decode threads, before or after ``load``."""
        return sample

    @abstractmethod
    def prepare(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Convert preprocessed samples of one batch key to one opaque item each, in order.

        An item holds the data that all rounds of an image share: pixels on the device, vision features.
        """

    @abstractmethod
    def detect(
        self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances | ImageError]:
        """Return, for each item and its prompt, every candidate with a score above ``floor``; in order.

        Return an ImageError in place of an item that fails; it becomes the reason of its row.

        ``labels`` index the prompt's phrases; ``rounds`` are ignored. Boxes are in pixels of the upright image and may
        reach beyond it: they are clipped after aggregation, and dropped if nothing is left.
        """

    def read(self, phrase: str) -> Reading:
        """Return how the model reads a phrase, to report names that it cannot distinguish. No torch."""
        return Reading((" ".join(unicodedata.normalize("NFKC", phrase).casefold().split()),))

    def unasked(self, phrases: Sequence[str]) -> Sequence[str]:
        """Return the phrases in the parameters that are not among ``phrases`` and so would have no effect."""
        return ()

    def passes(self, prompt: Prompt) -> int:
        """Return the maximum number of forward passes for ``prompt`` in one round. No torch."""
        return 1

    def requests(self, size: Size, asked: Prompt) -> Requests:
        """Return the endpoint requests for one query about an image of ``size``; none without an endpoint."""
        return Requests()


class Segmenter(Labeler[P]):
    """A labeler from boxes to masks."""

    needs = "boxes"
    gives = "masks"

    @abstractmethod
    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        """Return all instances of each sample, in order, with masks.

        The mask of a box without area inside the image is None.
        """


Chance = Annotated[float, Field(ge=0, le=1)]


class VerifierParams(StrategyParams):
    """Which boxes a verifier checks, and whether it drops boxes."""

    between: tuple[Chance, Chance] = (0.0, 1.0)
    """Lowest and highest score of the boxes to check; all boxes by default."""
    drop_below: Chance | None = None
    """Leave out boxes whose verdict is below this; without it every box is kept, with its verdict beside its score."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.between
        if low > high:
            raise PydanticCustomError("said", "{said}", {"said": f"between: {low:g} is more than {high:g}"})
        return self


class Verifier(Labeler[P]):
    """A labeler that checks boxes: it returns the probability that each box has the object of its label."""

    needs = "boxes"
    gives = "boxes"
    params: Any

    class Params(VerifierParams):
        """Which boxes to check; a subclass adds its own fields."""

    @abstractmethod
    def verify(self, batch: Sequence[Sample]) -> Sequence[npt.NDArray[np.float32] | ImageError]:
        """Return, for each sample, the probability of each of its N boxes, (N,) float32 in [0, 1]; NaN if unknown.

        A sample holds only the boxes to check. Return an ImageError in place of a sample without any answer: its boxes
        are kept without verdicts, and the row notes it.
        """


class Referrer(Labeler[P]):
    """A labeler that finds words for each box which tell it from all others of its image."""

    needs = "boxes"
    gives = "boxes"

    @abstractmethod
    def refer(self, batch: Sequence[Sample]) -> Sequence[Sequence[str | None] | ImageError]:
        """Return, for each sample, an expression for each of its N boxes; None for a box that gets none.

        An ImageError stands where an image has no answer: its boxes are kept without expressions, and the row says so.
        """

    def requests(self, size: Size, boxes: int) -> Requests:
        """Return what an image of ``size`` with some boxes takes of an endpoint; nothing if none is asked."""
        return Requests()


class Captioner(Labeler[P]):
    """A labeler that writes captions; it is used in ``data.captions``, not in a stage."""

    needs = "images"
    gives = "captions"

    @abstractmethod
    def describe(self, batch: Sequence[Sample]) -> Sequence[str | ImageError]:
        """Return a caption for each sample, in order; an ImageError in place of one that fails."""

    def captioner(self) -> Captioner:
        """Return itself."""
        return self

    def requests(self, size: Size) -> Requests:
        """Return the endpoint requests for the caption of an image of ``size``; none without an endpoint."""
        return Requests()


class Look(Strategy[P]):
    """A transform of an image for test-time augmentation, with inverses for boxes and masks.

    A look that moves no pixel only defines ``apply``. ``size`` is (height, width) of the original image.
    """

    @abstractmethod
    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Transform (H, W, 3) uint8 RGB pixels to (h, w, 3) uint8 of ``shape((H, W))``. Pure."""

    def shape(self, size: Size) -> Size:
        """Return (height, width) of the transformed image of ``size``."""
        return size

    def restore_boxes(self, boxes: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
        """Map (N, 4) ``x1 y1 x2 y2`` boxes of the transformed image back to the original image, exactly."""
        return boxes

    def restore_mask(self, mask: npt.NDArray[np.bool_], size: Size) -> npt.NDArray[np.bool_]:
        """Map a mask (h, w) of the transformed image back to (H, W), exactly."""
        return mask


class Exporter(Strategy[P]):
    """Writes the labels of a run as files."""

    needs: ClassVar[Literal["boxes", "masks"]] = "boxes"
    loses: ClassVar[Sequence[str]] = ()
    """The parts of the labels that the files cannot hold, in words, for the notice of ``autolabel export``."""
    at_top: ClassVar[bool] = False
    """Whether its files are found in the results directory itself as well, under their own names."""
    provenance: Provenance = Provenance()
    """The origin of the labels; set before ``export`` is called."""

    @abstractmethod
    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write files into the existing folder ``out`` and return their paths; equal labels give equal bytes.

        ``labels`` can be iterated more than once, are sorted by (image id, caption index), and may not fit in memory.
        The exporters of a run share one walk over the labels, each in a thread of its own. What is only begun starts
        again without cost; any further iteration reads all labels again.
        Boxes lie inside the image, whose file is ``image.path``. ``classes`` are the phrases of the whole run, in the
        order that category ids follow.
        """

    def export_parts(self, parts: Mapping[str, Iterable[Labels]], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write the parts of a split (``train``, ``val``, ``test``, in order), and return the paths of all files.

        Each part goes into a folder of its name. Override this method if readers expect other names, or a file for all
        parts.
        """
        written: list[Path] = []
        for name, labels in parts.items():
            (out / name).mkdir()
            written += self.export(labels, classes, out / name)
        return written
