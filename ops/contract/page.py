"""The page of all events: their fields, who hears and who publishes them."""

from collections.abc import Iterable, Sequence
from typing import Any

from broker import Actor
from ops.contract.jsonschemas import Schema, name_of, schema_of
from schemas import Event, Failure
from schemas.webhooks import WebhookReceived


def page(kinds: Iterable[type[Event]], actors: Sequence[Actor[Any, Any]]) -> str:
    """Markdown. `callboard contract page` writes it."""
    lines = [
        "# Events",
        "",
        "Every event type of this house, written by `callboard contract page`. Fields in **bold** must be there.",
        "[Publishing](publishing.md) says how to hand them over.",
        "",
    ]
    for kind in sorted(kinds, key=name_of):
        lines += _section(kind, actors)
    return "\n".join(lines)


def _section(kind: type[Event], actors: Sequence[Actor[Any, Any]]) -> list[str]:
    hearers = [f"`{actor.name}`" for actor in actors if kind in actor.hears]
    speakers = [f"`{actor.name}`" for actor in actors if kind in actor.publishes]
    if kind is Failure:
        speakers.append("the engine, for actors with `on_failure`")
    if kind is WebhookReceived:
        speakers.append("webhooks")
    schema = schema_of(kind)
    summary = (kind.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
    fields = [
        f"| {_name(name, schema)} | {_kind(field)} |" for name, field in schema.get("properties", {}).items()
    ]
    aliases = (
        f"Also known as {', '.join(f'`{alias}`' for alias in kind.event_aliases)}."
        if kind.event_aliases
        else ""
    )
    return [
        f"## {kind.event_type}" + (f", version {kind.event_version}" if kind.event_version > 1 else ""),
        "",
        *([" ".join([*summary.split(), aliases]).strip(), ""] if summary or aliases else []),
        f"Heard by {_names(hearers) or 'other services, if any'}; published by {_names(speakers) or 'other services'}.",
        "",
        *(["| field | kind |", "|---|---|", *fields, ""] if fields else []),
    ]


def _name(name: str, schema: Schema) -> str:
    return f"**`{name}`**" if name in schema.get("required", ()) else f"`{name}`"


def _kind(field: Schema) -> str:
    """In a few words: `text, 1 to 80`, `uuid`, `list of Part`."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"] if each.get("type") != "null")
    if (reference := field.get("$ref")) is not None:
        return str(reference).rpartition("/")[2]
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "string":
        return str(field.get("format", "text"))
    return str(field.get("type", "anything"))


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
