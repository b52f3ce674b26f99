"""TAO's documents for vision-language models: the part that they share, and how tests load them."""

from __future__ import annotations

from pathlib import Path

from autolabel import load_spec
from autolabel.registry import Registry
from autolabel.spec.model import Spec

_AS_PUBLISHED = """results_dir: out
autolabel_type: "SECTION"

SECTION:
  vlm:
    backend: "gemini"
    gemini:
      api_key: ""                               # Set GOOGLE_API_KEY env var or fill in here
      model: "gemini-3.1-flash-lite-preview"
      media_resolution: "MEDIA_RESOLUTION_HIGH"
      temperature: 0.3
      max_output_tokens: 8192
      timeout: 120

"""


def write_document(folder: Path, section: str, rest: str) -> Path:
    """Write a document as TAO publishes it: the models of ``section``, then the rest of that section."""
    path = folder / "tao.yaml"
    path.write_text(_AS_PUBLISHED.replace("SECTION", section) + rest)
    return path


def loaded(path: Path, registry: Registry, *overrides: str) -> Spec:
    """Load a document with overrides."""
    return load_spec(path, overrides=list(overrides), registry=registry)


def asking(section: str, url: str) -> list[str]:
    """Return the overrides that let a document ask the model ``m`` of an OpenAI-compatible server."""
    vlm = f"{section}.vlm"
    return [f"{vlm}.backend=openai", f"{vlm}.openai.base_url={url}", f"{vlm}.openai.model_name=m"]
