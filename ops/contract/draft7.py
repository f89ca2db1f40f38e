"""From JSON Schema 2020-12, as pydantic writes it, to draft-07, as AsyncAPI reads it."""

from collections.abc import Mapping
from typing import Any

_DROPPED = {"$schema", "$id", "discriminator", "unevaluatedProperties"}


def converted(schema: Any, prefix: str) -> tuple[Any, dict[str, Any]]:
    """The schema, and the definitions in it by their new names: `prefix.Model`, for `components.schemas`."""
    definitions = schema.get("$defs", {})
    hoisted = {f"{prefix}.{name}": _walked(each, prefix) for name, each in definitions.items()}
    return _walked({key: value for key, value in schema.items() if key != "$defs"}, prefix), hoisted


def _walked(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_walked(each, prefix) for each in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(reference := value.get("$ref"), str):
        # Beside a `$ref` draft-07 reads nothing.
        return {"$ref": f"#/components/schemas/{prefix}.{reference.removeprefix('#/$defs/')}"}
    made = {key: _walked(each, prefix) for key, each in value.items() if key not in _DROPPED}
    if (first := made.pop("prefixItems", None)) is not None:
        rest = made.pop("items", None)
        made["items"] = first
        if rest is not None:
            made["additionalItems"] = rest
    return made
