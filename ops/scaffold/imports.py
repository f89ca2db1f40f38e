"""Import blocks as the formatter lays them out: the standard library, others, ours, neighbours."""

import sys
from collections.abc import Mapping

from ops.scaffold.place import Place

HOUSE_ROOMS = frozenset({"actors", "broker", "ops", "pipelines", "schemas", "tests"})


def import_block(place: Place, wanted: Mapping[str, set[str]]) -> str:
    """`from module import names`, sorted, in sections; no newline at its end."""
    sections: dict[int, list[str]] = {}
    for module in sorted(wanted):
        names = ", ".join(sorted(wanted[module], key=_order))
        sections.setdefault(_section(place, module), []).append(f"from {module} import {names}")
    return "\n\n".join("\n".join(sections[number]) for number in sorted(sections))


def _section(place: Place, module: str) -> int:
    first = module.partition(".")[0]
    if not first:
        return 3
    if first in sys.stdlib_module_names:
        return 0
    ours = {place.prefix.partition(".")[0], "tests"} if place.prefix else HOUSE_ROOMS
    return 2 if first in ours else 1


def _order(name: str) -> tuple[bool, bool, str]:
    """CONSTANTS, Classes, functions."""
    return not name.isupper(), not name[:1].isupper(), name
