"""How things look on a terminal: tables, facts, times, statuses. Colours and cut-off texts only where a person looks."""

import dataclasses
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text

PIPED_WIDTH = 400
"""Columns where nobody looks: ids and errors must come out whole, whatever rich thinks a terminal has."""

NARROWEST = 12
"""Columns left for what may be cut off or wrapped."""

COLOURS = {
    "completed": "green",
    "failed": "red",
    "running": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "retrying": "yellow",
    "skipped": "dim",
    "folded": "dim",
    "cancelled": "dim",
}


def console() -> Console:
    """Standard output as it is now; without colours when it is no terminal or NO_COLOR is set."""
    plain = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=plain, highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Standard error: what went wrong, and remarks that no script should read."""
    plain = None if sys.stderr.isatty() else PIPED_WIDTH
    return Console(stderr=True, width=plain, highlight=False, markup=False, emoji=False)


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    flexible: int = -1,
    wrapped: Collection[int] = (),
) -> Table:
    """Columns side by side, whole. Where the terminal is too narrow the `flexible` column is cut off, or those that are
    `wrapped` go on in the next line."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max([cell_len(header), *[row[i].cell_len for row in cells]]) for i, header in enumerate(headers)
    ]
    last = flexible % len(headers)
    room = console().width - sum(width + 2 for i, width in enumerate(widths) if i != last)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(headers):
        if index in wrapped:
            made.add_column(header, overflow="fold", min_width=NARROWEST)
        elif index == last and not wrapped:
            made.add_column(header, no_wrap=True, overflow="ellipsis", max_width=max(room, NARROWEST))
        else:
            made.add_column(
                header,
                no_wrap=True,
                min_width=max([cell_len(header), *[row[index].cell_len for row in cells]]),
            )
    for row in cells:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, Cell | None]], *, indent: int = 2) -> Table:
    """Names and values; values without text are left out, long ones go on in the next line."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and str(value):
            made.add_row(" " * indent + name, _cell(value))
    return made


def status(name: str) -> Text:
    return Text(name, style=COLOURS.get(name, ""))


def printable(text: str) -> str:
    """Without anything that could steer a terminal: errors and payloads come from anywhere."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def took(length: timedelta | None, units: int = 2) -> str:
    """`340 ms`, `1.25 s`, `2 min 5 s`, `3 h 10 min`, `4 d 2 h`."""
    if length is None:
        return ""
    seconds = length.total_seconds()
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]
    whole, found = int(seconds), list[str]()
    for unit, size in parts:
        count, whole = divmod(whole, size)
        if count or found:
            found.append(f"{count} {unit}")
    return " ".join([part for part in found if not part.startswith("0 ")][:units])


def ago(moment: datetime | None) -> str:
    """How long ago, in one unit."""
    if moment is None:
        return ""
    passed = datetime.now(UTC) - moment
    return took(timedelta(seconds=int(passed.total_seconds())), 1) if passed > timedelta(seconds=1) else "now"


def clock(moment: datetime) -> str:
    """The time of day here, with the date unless it is today's."""
    local = moment.astimezone()
    time = local.strftime("%H:%M:%S.%f")[:-3]
    return time if local.date() == datetime.now(UTC).astimezone().date() else f"{local:%Y-%m-%d} {time}"


def emit_json(value: object) -> None:
    """For scripts: one JSON document. Lengths are seconds, times ISO 8601."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _cell(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 6)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise TypeError(f"{type(value).__name__} has no JSON form")
