"""A function for ``cvat-cli task auto-annotate --function-module autolabel.integrations.cvat -p spec=str:SPEC``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cvat_sdk import auto_annotation as cvat
from cvat_sdk.attributes import attribute_vals_from_dict
from cvat_sdk.masks import encode_mask

from autolabel.errors import SpecError
from autolabel.predict import Predictor, open_predictor
from autolabel.types import Labels
from autolabel.types.label_studio import rings_of

if TYPE_CHECKING:
    from PIL.Image import Image

_SCORE = 0
"""The id of the score among the attributes of a label."""
_SHAPES = ("auto", "rectangles", "masks", "polygons")


class Function:
    """The function that CVAT calls for each image of a task."""

    def __init__(self, predictor: Predictor, *, shapes: str, score: str) -> None:
        self._predictor = predictor
        self._shapes = shapes
        self._score = score
        attributes = [cvat.text_attribute_spec(score, _SCORE)] if score else []
        labels = [
            cvat.label_spec(name, number, attributes=attributes) for number, name in enumerate(predictor.classes, 1)
        ]
        self.spec = cvat.DetectionFunctionSpec(labels=labels)

    def detect(self, context: cvat.DetectionFunctionContext, image: Image) -> Sequence[cvat.DetectionAnnotation]:
        """Return the objects of an image; raises RuntimeError if labelling fails."""
        labels = self._predictor.predict(image, name=context.frame_name)
        if labels.reason is not None:
            raise RuntimeError(f"{context.frame_name}: {labels.reason.message}")
        least = context.conf_threshold
        found = labels.instances if least is None else labels.instances.take(labels.instances.scores >= least)
        return [
            shape
            for index in range(len(found))
            for shape in self._drawn(labels, found, index, polygons=context.conv_mask_to_poly)
        ]

    def close(self) -> None:
        """Unload the models."""
        self._predictor.close()

    def _drawn(self, labels: Labels, found: Any, index: int, *, polygons: bool) -> Iterator[cvat.DetectionAnnotation]:
        """Yield the shapes of one object: its mask if it has one and ``shapes`` allows it, otherwise its box."""
        label = int(found.labels[index]) + 1
        said = {_SCORE: f"{float(found.scores[index]):.4f}"} if self._score else {}
        more = {"attributes": attribute_vals_from_dict(said)}
        mask = found.masks[index] if found.masks and self._shapes != "rectangles" else None
        if mask is None or mask.is_empty():
            yield cvat.rectangle(label, [float(place) for place in found.boxes[index]], **more)
        elif polygons or self._shapes == "polygons":
            rings = rings_of(mask.decode())
            group = {"group": index + 1} if len(rings) > 1 else {}
            for ring in rings:
                more = {"attributes": attribute_vals_from_dict(said)}
                yield cvat.polygon(label, [place for corner in ring for place in corner], **more, **group)
        else:
            yield cvat.mask(label, encode_mask(mask.decode()), **more)


def create(spec: str, shapes: str = "auto", score: str = "score", device: str = "") -> Function:
    """Return the function for a spec file or a run's folder; ``cvat-cli`` calls this with the ``-p`` options.

    ``shapes`` is ``rectangles``, ``masks``, ``polygons`` or ``auto``: masks where the spec makes them. ``score`` names
    the text attribute of the task's labels that takes the score; empty, none does. ``device`` is ``cpu``, ``cuda:0`` or
    ``mps``. The labels of the task are matched with the spec's classes by name. Raises SpecError if the spec names
    no classes, and as ``autolabel.open`` does.
    """
    if shapes not in _SHAPES:
        raise SpecError(f"shapes: found {shapes!r}, wanted one of {', '.join(_SHAPES)}")
    predictor = open_predictor(spec, device=device or None)
    if not predictor.classes:
        predictor.close()
        raise SpecError(f"{spec}: names no classes to match with the labels of the CVAT task")
    return Function(predictor, shapes=shapes, score=score)
