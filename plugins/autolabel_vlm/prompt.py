"""Build the text and schema of a question."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT = (
    "Find every instance of each of these in the image: {phrases}. "
    'Answer with a JSON array and nothing else, one entry for each instance: {"bbox_2d": [{corners}], "label": one of '
    'the phrases, word for word, "score": how sure you are, from 0 to 1}. {coordinates} '
    "If there is none, answer []."
)
REST = (
    "Your answer could be read only as far as it is repeated above. List the objects that are missing there, in the "
    "same form and nothing else; answer [] if none is."
)
AGAIN = "That could not be read. Answer with the JSON alone, in the form asked for above."
IN_OBJECT = ' Write that array as the value of "objects" in a JSON object: {"objects": [...]}.'
"""Added to a question whose answer the server restricts to an object (``json_object``)."""
_PLACE = re.compile(r"\{(phrases|coordinates|corners|caption|width|height|phrase|objects)\}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template in one pass; placeholders inside values are not replaced."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)


def listed(phrases: Sequence[str]) -> str:
    """Return phrases as a comma-separated list, each in quotes."""
    return ", ".join(json.dumps(phrase, ensure_ascii=False) for phrase in phrases)


def schema(phrases: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of an answer about some phrases."""
    number = {"type": "number"}
    entry = {
        "type": "object",
        "properties": {
            "bbox_2d": {"type": "array", "items": number, "minItems": 4, "maxItems": 4},
            "label": {"type": "string", "enum": list(phrases)},
            "score": number,
        },
        "required": ["bbox_2d", "label"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": entry}
