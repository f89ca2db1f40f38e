"""The module of a domain's events: made new, or with one more class and the imports it needs."""

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence

from broker import ConfigurationError
from ops.scaffold.imports import import_block
from ops.scaffold.place import Place

TYPES: Mapping[str, str] = {
    "str": "", "int": "", "float": "", "bool": "",
    "UUID": "uuid", "datetime": "datetime", "date": "datetime", "Decimal": "decimal", "HttpUrl": "pydantic",
}  # fmt: skip
"""What a field may be → the module it is imported from. Anything else is a line that the author writes."""


def fields_of(words: Sequence[str]) -> list[tuple[str, str]]:
    """`order_id:UUID` → (name, type). Raises ConfigurationError."""
    found = [tuple(word.partition(":")[::2]) for word in words]
    for (name, kind), word in zip(found, words, strict=True):
        if not name.isidentifier() or kind not in TYPES:
            raise ConfigurationError(f"field {word!r} is not name:type; types are {', '.join(TYPES)}")
    return [(name, kind) for name, kind in found]


def with_event(place: Place, source: str, lines: str, kinds: Sequence[str]) -> str:
    """The module's text with one more class at its end. Raises ConfigurationError when it is no Python, or imports in a way
    that is not one block of `from … import …`."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigurationError(
            f"the module of its events is no Python (line {error.lineno}): mend it first"
        ) from None
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    wanted[place.schemas].add("Event")
    for kind in kinds:
        if TYPES[kind]:
            wanted[TYPES[kind]].add(kind)
    found = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in found:
        if isinstance(node, ast.Import) or any(alias.asname for alias in node.names):
            raise ConfigurationError(
                "its module has imports of other kinds than `from … import …`: add the event by hand"
            )
        wanted["." * node.level + (node.module or "")].update(alias.name for alias in node.names)
    rows = source.splitlines()
    first, last = (found[0].lineno - 1, found[-1].end_lineno or 0) if found else _after_docstring(body)
    before, after = rows[:first], rows[last:]
    block = import_block(place, wanted).splitlines()
    gap = [""] if not found else []
    return "\n".join([*before, *gap, *block, *after]).rstrip() + "\n\n\n" + lines


def _after_docstring(body: Sequence[ast.stmt]) -> tuple[int, int]:
    end = (body[0].end_lineno or 0) if body else 0
    return end, end
