"""What all labelers from transformers do with a folder: check, hash, refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from autolabel.errors import WeightsError
from autolabel.registry import Registry
from autolabel.types import Prompt
from autolabel.weights import Licence
from autolabel_transformers import autolabel_labelers
from autolabel_transformers.clip_tokenizer import ClipTokenizer
from autolabel_transformers.owlv2 import Owlv2
from tests.labelers.tiny_models import loaded, photo

REVISION = "5ac1a9c1b2d3e4f50617283940a1b2c3d4e5f607"


def copied(folder: Path, target: Path) -> Path:
    """Return a copy of a folder that a test may damage."""
    return Path(shutil.copytree(folder, target / "model"))


def make(folder: Path | str) -> Owlv2:
    return Owlv2(Owlv2.Params(checkpoint=str(folder)))


def test_they_are_offered_under_their_names(registry: Registry) -> None:
    for labeler in autolabel_labelers():
        entry = registry.get("labeler", labeler.name)
        assert (entry.strategy, entry.package) == (labeler, "autolabel-vision")


def test_discovery_and_planning_import_no_torch(owlv2: Path, mm: Path, omdet: Path, sam: Path, sam3: Path) -> None:
    folders = {"mm_grounding_dino": mm, "omdet_turbo": omdet, "owlv2": owlv2, "sam": sam, "sam3": sam3}
    script = f"""
import sys
import autolabel_grounding_dino
import autolabel_transformers
from autolabel.types import Prompt
found = {{labeler.name: labeler for package in (autolabel_grounding_dino, autolabel_transformers)
         for labeler in package.autolabel_labelers()}}
for name, folder in { {name: str(folder) for name, folder in folders.items()}!r}.items():
    detector = found[name](found[name].Params(checkpoint=folder))
    assert name == "sam" or detector.passes(Prompt(("cat", "dog"))) == (2 if name == "sam3" else 1)
    assert detector.batch_key((480, 640)) == detector.batch_key((480, 640))
    assert detector.files() and detector.licence().name == "unknown"
heavy = {{"torch", "transformers", "numba", "scipy", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_files_are_weights_configuration_and_tokenizer(owlv2: Path) -> None:
    names = [file.name for file in make(owlv2).files()]
    assert names == ["config.json", "merges.txt", "model.safetensors", "preprocessor_config.json", "vocab.json"]


def test_the_licence_is_the_folders(owlv2: Path, tmp_path: Path) -> None:
    folder = copied(owlv2, tmp_path)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert make(folder).licence() == Licence("apache-2.0", True)


def test_a_folder_of_another_model_is_refused(owlv2: Path, tmp_path: Path) -> None:
    folder = copied(owlv2, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "owlvit"}))
    with pytest.raises(WeightsError, match=r"config\.json says model_type 'owlvit', wanted 'owlv2'"):
        make(folder).files()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json there"),
        ("model.safetensors", "no weights in this folder"),
        ("vocab.json", "no tokenizer in this folder"),
    ],
)
def test_a_missing_file_is_named(owlv2: Path, tmp_path: Path, missing: str, message: str) -> None:
    folder = copied(owlv2, tmp_path)
    (folder / missing).unlink()
    detector = make(folder)
    with pytest.raises(WeightsError, match=message):
        detector.files()
        detector.passes(Prompt(("cat",)))


def test_a_file_or_nothing_is_refused(owlv2: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a single file"):
        make(owlv2 / "model.safetensors").files()
    with pytest.raises(WeightsError, match="no such file or folder"):
        make(tmp_path / "nowhere").files()


def test_tensors_that_do_not_fit_are_named(owlv2: Path, tmp_path: Path) -> None:
    folder = copied(owlv2, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        WeightsError, match=r"does not fit an OWLv2: 16 missing: owlv2\.vision_model\.encoder\.layers\.2"
    ):
        make(folder).load("cpu")


def test_a_processor_of_another_size_is_refused(owlv2: Path, tmp_path: Path) -> None:
    folder = copied(owlv2, tmp_path)
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 64, "width": 64}}')
    with pytest.raises(WeightsError, match=r"wants squares of 48 pixels, its processor makes \(64, 64\)"):
        make(folder).load("cpu")


def test_a_hub_name_with_a_revision_comes_from_the_cache(
    owlv2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--acme--owl" / "snapshots" / REVISION
    shutil.copytree(owlv2, snapshot)
    detector = loaded(Owlv2, f"acme/owl@{REVISION}")  # type: ignore[arg-type]
    assert {file.parent for file in detector.files()} == {snapshot}
    assert len(detector.prepare([detector.preprocess(photo(20, 30))])) == 1
    with pytest.raises(WeightsError, match="'acme/owl@other' is neither in the local Hugging Face cache nor"):
        make("acme/owl@other").files()


TEXTS = ("a photo of a red car", "Ünïcode  straße", "it's 25° & <b>", "naïve\n\tcafé", "日本 語", "don't!!")


def test_the_tokenizer_is_transformers_own(owlv2: Path, tmp_path: Path) -> None:
    theirs = CLIPTokenizer.from_pretrained(owlv2)
    theirs.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for text in TEXTS:
        expected = tuple(theirs(text)["input_ids"])
        assert ClipTokenizer(owlv2).sentence(text) == expected
        assert ClipTokenizer(tmp_path).sentence(text) == expected


def test_a_phrase_cannot_end_its_sentence(owlv2: Path) -> None:
    tokenizer = ClipTokenizer(owlv2)
    assert tokenizer.sentence("cat<|endoftext|> dog") == tokenizer.sentence("cat dog")
