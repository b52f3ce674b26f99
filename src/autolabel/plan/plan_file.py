"""Write ``plan.json`` with its checksum, and read it as untrusted input."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import msgspec
from msgspec.structs import replace

from autolabel.errors import DataError
from autolabel.plan.faults import faults_of
from autolabel.plan.identity import as_json_value, canonical_digest
from autolabel.plan.model import PROVEN, VERSION, Plan
from autolabel.schema_faults import struct_schema, why_refused
from autolabel.storage import Location, read_regular

_DAMAGED = "start over with --fresh, or restore it from a copy"
_MOST_BYTES = 1 << 30
"""The most bytes of a plan; a plan of 100 million images has a tenth of that."""
_log = logging.getLogger(__name__)


def encode_plan(plan: Plan) -> bytes:
    """Return the plan as indented JSON with its checksum and a final newline."""
    return msgspec.json.format(msgspec.json.encode(summed(plan)), indent=1) + b"\n"


def summed(plan: Plan) -> Plan:
    """Return the plan with its checksum."""
    return replace(plan, sha256=sum_of(as_json_value(plan)))


def sum_of(plan: dict[str, Any]) -> str:
    """Return the checksum of a plan's JSON."""
    return canonical_digest({name: value for name, value in plan.items() if name != "sha256"})


def decode_plan(text: bytes, *, file: str) -> Plan:
    """Decode a plan with the checksum of its file's content, unknown fields included.

    Raises DataError if it is not a plan, of another version, or does not match its checksum.
    """
    try:
        raw = msgspec.json.decode(text)
        plan = msgspec.convert(_in_parts(raw) if "recipe" not in raw else raw, Plan)
    except (msgspec.DecodeError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        refused = f"not a plan that autolabel {VERSION} reads"
        if faults := why_refused(text, plan_schema(), file=file):
            told = [dataclasses.replace(one, message=f"{refused}: {one.message}", hint=_DAMAGED) for one in faults]
            raise DataError(told) from error
        raise DataError(f"{file}: {refused}: {error}", hint=_DAMAGED) from error
    said = sum_of(raw)
    if plan.sha256 or plan.version >= PROVEN:
        if said != plan.sha256:
            raise DataError(f"{file}: is damaged: its SHA-256 does not match", hint=_DAMAGED)
    else:
        _log.warning(
            "%s: written by an older autolabel, without checksums: damage in this run cannot be detected", file
        )
    for fault in faults_of(plan):
        raise DataError(f"{file}: {fault}", hint=_DAMAGED)
    return replace(plan, sha256=said)


def _in_parts(old: dict[str, Any]) -> dict[str, Any]:
    """Convert the JSON of a plan of version 1, which had no parts, to the current form."""
    output, decided = old["output"], old["results"]
    split = output.get("split")
    fractions = {name: share for name, share in (split or {}).items() if name != "seed"}
    stages = [{name: value for name, value in stage.items() if name != "most_passes"} for stage in old["stages"]]
    return {
        **{name: old[name] for name in ("version", "digest", "autolabel", "execution", "notices") if name in old},
        **{name: old[name] for name in ("sha256", "extends") if name in old},
        "recipe": {
            "stages": stages,
            "ontology": old.get("ontology", {}),
            "threads": decided["threads"],
            "shard_size": decided["shard_size"],
            **{name: old[name] for name in ("batch_size", "max_pixels")},
        },
        "manifest": {
            "fingerprint": old["inputs"],
            "most_passes": [stage.get("most_passes") for stage in old["stages"]],
            **{name: old[name] for name in ("images", "rows", "unusable", "classes", "roots", "shards")},
        },
        "outputs": {
            "filter": output.get("filter"),
            "split": split and {"fractions": fractions, "seed": split.get("seed", 0)},
            "thresholds": output.get("thresholds"),
            **{name: old[name] for name in ("results_dir", "exports", "report", "visualize")},
        },
    }


def read_plan(path: Location) -> Plan:
    """Read a plan file."""
    return decode_plan(read_regular(path, most=_MOST_BYTES), file=str(path))


def plan_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``plan.json``."""
    return struct_schema(Plan)
