"""The page of limits says what the code keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel import http_client, storage
from autolabel.certify import opening
from autolabel.data.coco import document
from autolabel.data.corrections import archive, bounded
from autolabel.endpoint import client
from autolabel.images import decode_limit, deep, files
from autolabel.plan import plan_file
from autolabel.results import decision, journal, ledger, store
from autolabel.review import guard
from autolabel.run import candidates, stage_labeler
from autolabel.serve import limits as serving
from autolabel.spec import limits
from autolabel.types import masks
from autolabel.web import connection
from autolabel.weights import headers, json_file, licence, plain

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "limits.md").read_text()


def binary(count: int) -> str:
    return f"{count >> 30} GiB" if count >> 30 else f"{count >> 20} MiB"


@pytest.mark.parametrize(
    "said",
    [
        f"`run.max_pixels` of the spec, {files.MAX_PIXELS:,} unless",
        f"| {stage_labeler.PIXELS_IN_FLIGHT:,} pixels of the images",
        f"| {decode_limit._SECONDS:g} seconds of decoding, {decode_limit.MAX_SCANS} scans",
        f"| {deep._MAX_SAMPLES} samples a pixel, {deep._MAX_VALUES:,} values",
        f"| {binary(ledger._MOST_BYTES)} for a line of `labels.jsonl`",
        f"| {masks._LONGEST_OUTLINE:,} pixels along a polygon, {masks._LONGEST_OUTLINES:,} along all",
        f"| {binary(candidates._MOST_BYTES)} for a cached answer",
        f"headers of {headers._LARGEST_HEADER:,} bytes and {headers._MOST_TENSORS:,} tensors,"
        f" descriptions of {json_file._LARGEST:,} bytes",
        f"a number above {plain._LARGEST_NUMBER:,}, {plain._MOST_PARTS:,} parts",
        f"| {licence._MOST_TEXT:,} characters of a card",
        f"{limits.MAX_BYTES:,} bytes, {limits._MAX_DEPTH} levels, {limits._MAX_ALIASES} aliases,"
        f" {limits._MAX_NODES:,} keys and values",
        f"{binary(document._MOST_REST)} besides its lists",
        f"corrections: {binary(bounded.MOST_DOCUMENT)} a file, an archive of {binary(archive.MOST_UNPACKED)}"
        f" and {archive._MOST_FILES:,} files",
        f"`plan.json`, `review.json` and a shard {binary(plan_file._MOST_BYTES)}, `review.jsonl`"
        f" {binary(journal.MOST_JOURNAL)}, `certificate.json` {binary(opening._MOST_BYTES)}",
        f"{binary(http_client._MOST_BYTES)} for a file, {binary(client.MOST_BYTES)} for an endpoint's answer",
        f"{storage._DEEPEST} levels, {storage._MOST_FOLDERS:,} folders",
        f"requests to `review`: {guard.MOST_BYTES:,} bytes",
        f"{connection.SECONDS} seconds until a connection",
    ],
)
def test_what_is_said_is_what_is_kept_to(said: str) -> None:
    assert said in PAGE


def test_limits_that_share_a_row_are_equal() -> None:
    assert plan_file._MOST_BYTES == decision.MOST_BYTES == store._MOST_BYTES
    assert stage_labeler.PIXELS_IN_FLIGHT == serving.PIXELS
