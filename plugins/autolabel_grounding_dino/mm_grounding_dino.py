"""The detector that a spec names ``mm_grounding_dino``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.weights import check_folder
from autolabel_grounding_dino.form import COUNTS, SIZES, WORDS, check_vocabulary
from autolabel_grounding_dino.grounded import GroundedDetector
from autolabel_labeling.configuration import check_kind, read_configuration
from autolabel_labeling.params import GroundedParams

if TYPE_CHECKING:
    from autolabel_grounding_dino.network import Network

_KIND = "mm-grounding-dino"


class MmGroundingDino(GroundedDetector):
    """Finds the objects that phrases name, with MM-Grounding-DINO (arXiv 2401.02361).

    Only the heads that compare boxes with words differ from Grounding DINO; everything else, including the faster
    kernels, is shared.
    """

    name = "mm_grounding_dino"

    class Params(GroundedParams):
        """See ``GroundedParams``."""

    params: Params

    def files(self) -> Sequence[Path]:
        """Return the folder's files; raises WeightsError if it is not an MM-Grounding-DINO checkpoint."""
        check_kind(self.path, read_configuration(self.path), (_KIND,))
        return super().files()

    def check(self) -> None:
        """Raise WeightsError if tensors do not match config.json, or the tokenizer does not match the text encoder."""
        fields = read_configuration(self.path)
        check_kind(self.path, fields, (_KIND,))
        words = check_folder(self.path, fields, sizes=SIZES, counts=COUNTS, title="an MM-Grounding-DINO").get(WORDS)
        if words is not None:
            check_vocabulary(self.path, self.text_folder, words=words.shape[0], tokenizer=self._tokenizer.size)
        self.batch_key((1, 1))

    def read_network(self, path: Path, device: str) -> Network:
        """Return the network of a Hugging Face folder."""
        from autolabel_grounding_dino.mm_network import load_mm_network

        return load_mm_network(path, self.params, device=device)
