"""The detector that a spec names ``grounding_dino``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.strategies import FineTuning
from autolabel_grounding_dino.form import check_form, refuse_other_model
from autolabel_grounding_dino.grounded import GroundedDetector
from autolabel_grounding_dino.params import GroundingDinoParams
from autolabel_training.settings import TrainingSettings

if TYPE_CHECKING:
    from autolabel_grounding_dino.network import Network


class GroundingDino(GroundedDetector):
    """Finds the objects that phrases name with a Grounding DINO checkpoint in any known format."""

    name = "grounding_dino"

    class Params(GroundingDinoParams):
        """See ``GroundingDinoParams``."""

    params: GroundingDinoParams
    Training = TrainingSettings

    def files(self) -> Sequence[Path]:
        """Return the checkpoint's files; raises WeightsError if they belong to another kind of model."""
        refuse_other_model(self.path)
        return super().files()

    def check(self) -> None:
        """Raise WeightsError if the checkpoint's names and shapes do not fit its configuration or its tokenizer."""
        check_form(self.path, self.params, self.text_folder, vocabulary=self._tokenizer.size)
        self.batch_key((1, 1))  # validates the processor settings

    def fine_tune(self, task: FineTuning[TrainingSettings]) -> None:
        """Train the decoder, the encoder and the later half of the image tower on images with known boxes."""
        from autolabel_grounding_dino.learning import DetectorTraining
        from autolabel_training.timed import train_in_time

        train_in_time(DetectorTraining(self, task), task)

    def read_network(self, path: Path, device: str) -> Network:
        """Return the network of a file or folder in any of the four known formats."""
        from autolabel_grounding_dino.load import load_network

        return load_network(path, self.params, text_folder=self.text_folder, device=device)
