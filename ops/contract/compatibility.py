"""Additions only: whoever publishes, or listens, by the schema that was published before, is right by the new one too.

Allowed are new types, new versions, and new fields that need not be there. Texts for people (titles, descriptions, examples,
defaults) and marks are no part of the contract. Everything else is another version of the event.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.contract.jsonschemas import Schema

_FOR_PEOPLE = {
    "title",
    "description",
    "examples",
    "default",
    "$id",
    "$schema",
    "$comment",
    "x-sensitive",
    "x-subject",
}
_INSIDE = {
    "properties",
    "required",
    "$defs",
    "$ref",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "additionalProperties",
}


@dataclass(frozen=True, slots=True)
class Break:
    """What a publisher or listener of today would stumble over."""

    name: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.path}: {self.what}" if self.path else f"{self.name}: {self.what}"


def breaks(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> list[Break]:
    """Empty when nothing but additions happened."""
    found: list[Break] = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            found.append(Break(name, "", "is gone: keep its class, as long as anybody may publish it"))
        else:
            found += _compare(name, "", old, new, (old, new), ())
    return found


def additions(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> list[str]:
    """Names that are new or have changed."""
    return [name for name, schema in after.items() if before.get(name) != schema]


Roots = tuple[Schema, Schema]


def _compare(
    name: str, path: str, old: Any, new: Any, roots: Roots, seen: tuple[str, ...]
) -> Iterator[Break]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        if old != new:
            yield Break(name, path, "has changed")
        return
    if (reference := old.get("$ref")) is not None and new.get("$ref") is not None:
        if reference in seen:
            return
        seen = (*seen, reference)
    old, new = _resolved(old, roots[0]), _resolved(new, roots[1])
    yield from _fields(name, path, old, new, roots, seen)
    for keyword in ("items", "additionalProperties"):
        if keyword in old or keyword in new:
            yield from _compare(name, _at(path, "[]"), old.get(keyword), new.get(keyword), roots, seen)
    for keyword in ("anyOf", "oneOf", "allOf"):
        yield from _choices(name, path, old.get(keyword), new.get(keyword), roots, seen)
    for keyword in sorted((set(old) | set(new)) - _FOR_PEOPLE - _INSIDE):
        if old.get(keyword) != new.get(keyword):
            yield Break(name, path, f"`{keyword}` was {_told(old, keyword)} and is {_told(new, keyword)}")


def _fields(
    name: str, path: str, old: Mapping[str, Any], new: Mapping[str, Any], roots: Roots, seen: tuple[str, ...]
) -> Iterator[Break]:
    was, now = old.get("properties", {}), new.get("properties", {})
    for field, schema in was.items():
        if field not in now:
            yield Break(name, _at(path, field), "is gone")
        else:
            yield from _compare(name, _at(path, field), schema, now[field], roots, seen)
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    for field in sorted(needs - needed):
        yield Break(name, _at(path, field), "must be there now; give it a default")
    for field in sorted(needed - needs):
        if field in now:
            yield Break(name, _at(path, field), "need not be there any more, and listeners count on it")


def _choices(
    name: str, path: str, old: Any, new: Any, roots: Roots, seen: tuple[str, ...]
) -> Iterator[Break]:
    if old is None and new is None:
        return
    if old is None or new is None or len(old) != len(new):
        yield Break(name, path, "has other kinds of values")
        return
    for was, now in zip(old, new, strict=True):
        yield from _compare(name, path, was, now, roots, seen)


def _resolved(schema: Mapping[str, Any], root: Schema) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Mapping[str, Any] = root["$defs"][reference.removeprefix("#/$defs/")]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _at(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _told(schema: Mapping[str, Any], keyword: str) -> str:
    return repr(schema[keyword]) if keyword in schema else "not there"
