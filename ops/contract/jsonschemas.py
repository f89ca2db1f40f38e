"""JSON Schemas, one a type and version: draft 2020-12, with the names under which we publish."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from schemas import Event

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def name_of(kind: type[Event]) -> str:
    """`page.scan.requested.v1`"""
    return f"{kind.event_type}.v{kind.event_version}"


def schema_of(kind: type[Event]) -> Schema:
    """Of the data of one event. Fields that are not in it are ignored, and camelCase is taken too."""
    made = kind.model_json_schema(by_alias=False, ref_template="#/$defs/{model}")
    return {"$schema": DRAFT, "$id": f"urn:callboard:{kind.event_type}:{kind.event_version}", **made}


def schemas_of(kinds: Iterable[type[Event]]) -> dict[str, Schema]:
    """By name, in their order."""
    return {name_of(kind): schema_of(kind) for kind in sorted(kinds, key=name_of)}


def write(schemas: Mapping[str, Schema], folder: Path) -> list[Path]:
    """A file each; what else is in the folder stays."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, schema in schemas.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
        written.append(path)
    return written


def read(folder: Path) -> dict[str, Schema]:
    """Empty where there is no folder yet."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
