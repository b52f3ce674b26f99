"""Code shared by the labelers of this package: reading a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from autolabel.errors import WeightsError
from autolabel.strategies import Labeler
from autolabel.weights import CheckpointPath, Licence, check_folder, files_of, licence_of, locate_checkpoint
from autolabel_labeling.configuration import check_kind, read_configuration
from autolabel_labeling.params import Precision


class FolderParams(Labeler.Params):
    """The location of the weights."""

    checkpoint: CheckpointPath
    """A Hugging Face folder, or a name on the hub: ``org/name``, better ``org/name@revision``."""
    precision: Precision = "float32"
    """``bfloat16``: the vision tower is faster on GPUs, and on CPUs with AVX512-BF16 or AMX; scores move a little."""


class FolderLabeler(Labeler):
    """A labeler whose checkpoint is a folder in transformers' format."""

    kinds: ClassVar[tuple[str, ...]]
    """The ``model_type`` that config.json may say."""
    title: ClassVar[str]
    """The name of the model in messages: ``an OWLv2``."""
    sizes: ClassVar[Mapping[str, tuple[str, int]]] = {}
    """Numbers of config.json, with the tensor and the axis that must agree."""
    counts: ClassVar[Mapping[str, str]] = {}
    """Numbers of layers in config.json, with what stands before their numbers in the tensors' names."""
    prefix: ClassVar[str] = ""
    """The prefix of the used tensors in a folder for video."""

    params: FolderParams

    @cached_property
    def folder(self) -> Path:
        """Return the folder; raises WeightsError if it is missing or holds another kind of model."""
        path = locate_checkpoint(self.params.checkpoint)
        if not path.is_dir():
            raise WeightsError(f"{path}: a single file", hint="give the folder with its config.json")
        check_kind(path, read_configuration(path), self.kinds)
        return path

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Return the content of config.json."""
        return read_configuration(self.folder)

    def files(self) -> Sequence[Path]:
        """Return the folder's weights, configuration, and tokenizer."""
        return files_of(self.folder)

    def check(self) -> None:
        """Raise WeightsError if the folder's tensors do not match its config.json."""
        check_folder(
            self.folder,
            self.configuration,
            sizes=self.sizes,
            counts=self.counts,
            title=self.title,
            timm=self.takes_timm(),
            ignored=self.prefix,
        )
        self.batch_key((1, 1))

    def takes_timm(self) -> bool:
        """Return whether the model has a timm backbone; raise WeightsError if it has one that is not supported here."""
        return False

    @property
    def half(self) -> bool:
        """Return whether the vision tower multiplies in bfloat16."""
        return self.params.precision == "bfloat16"

    def licence(self) -> Licence:
        """Return the licence that the folder states."""
        return licence_of(self.folder)
