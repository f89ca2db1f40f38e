"""What a demo event led to: its chain followed to the end, and told with what came out of it."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote
from uuid import UUID

from psycopg import Connection
from rich.console import Console

from broker import CallboardError, Pipeline
from broker.history import RunRow, chain
from ops.cli.screen import one_line, status, table, took
from ops.household import shortened

_RECOMMENDATIONS = "select count(*) from pages.recommendation where page_id = %s"
_LETTERS = "select provider, message_id from emails.email_log where about = %s and status = 'sent'"
_COUNTS = "select folder, total, unread from inbox.count where client_id = %s order by folder"
_PRODUCTS = "select name, price, currency, availability from products.product where shop_id = 'demo' and product_id = %s"
_SONGS = "select number, status, url, error from orders.song_variant where order_id = %s order by number"


class DemoError(CallboardError):
    """The demo did not come to its end; the message says where it stands and how to look closer."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the demo: its id, the pipeline it starts, and the id of the page, order, product or client it is about."""

    event_id: str
    pipeline: Pipeline
    about: UUID | str
    label: str


def finished(connection: Connection, told: Told) -> list[RunRow] | None:
    """The runs of the story once its pipeline has been walked to the end; None while it is on its way.

    Raises DemoError when one of them has failed, or when they do not share one trace.
    """
    runs = chain(connection, told.event_id)
    for run in runs:
        if run.status not in ("completed", "queued", "running", "waiting", "retrying"):
            raise DemoError(
                f"{run.actor} {run.status} ({one_line(run.reason or '')}): callboard why {run.event_id}"
            )
    if not _walked(told, runs) or not all(run.finished for run in runs):
        return None
    if len({run.trace_id for run in runs}) != 1:
        raise DemoError(
            f"the runs of {told.event_id} carry several trace ids: callboard runs show {told.event_id}"
        )
    return runs


def standing(connection: Connection, told: Told) -> str:
    """Where a story stands that takes too long."""
    runs = [f"{run.actor} is {run.status}" for run in chain(connection, told.event_id)]
    return f"{told.pipeline.name}: {', '.join(runs) or 'nobody has taken its event'}"


def length_of(runs: Sequence[RunRow]) -> timedelta:
    """From the publish to the end of the last run."""
    return max(run.finished_at or run.created_at for run in runs) - runs[0].event_time


def tell(out: Console, connection: Connection, told: Told, runs: Sequence[RunRow], data: Path) -> None:
    """The whole story: its runs, its one trace, what came out."""
    out.print(f"\n{told.pipeline.name} complete in {took(length_of(runs))}", style="bold green")
    out.print(f"  {told.label}, trace {runs[0].trace_id}")
    rows = [(f"  {run.actor}", str(run.id), status(run.status), took(run.lasted)) for run in runs]
    out.print(table(["  ACTOR", "RUN", "STATUS", "TOOK"], rows))
    for line in results(connection, told, data):
        out.print(f"  {line}", soft_wrap=True)


def results(connection: Connection, told: Told, data: Path) -> list[str]:
    """What it was done for: recommendations, songs with their length, a price, a letter, counts."""
    return _RESULTS[told.pipeline.name](connection, told, data)


def _recommendations(connection: Connection, told: Told, _data: Path) -> list[str]:
    row = connection.execute(_RECOMMENDATIONS, (told.about,)).fetchone()
    count = row[0] if row else 0
    return [f"{count} recommendation{'' if count == 1 else 's'} for {told.label}"]


def _songs(connection: Connection, told: Told, data: Path) -> list[str]:
    songs = connection.execute(_SONGS, (told.about,)).fetchall()
    return [_song(data, *song) for song in songs] or ["no songs"]


def _letters(connection: Connection, told: Told, data: Path) -> list[str]:
    lines: list[str] = []
    for provider, message_id in connection.execute(_LETTERS, (told.about,)).fetchall():
        path = data / "mail" / "new" / f"{message_id.strip('<>')}.eml"
        lines.append(f"letter: {shortened(path) if path.is_file() else f'{message_id}, over {provider}'}")
    return lines or ["no letter"]


def _counts(connection: Connection, told: Told, _data: Path) -> list[str]:
    counts = connection.execute(_COUNTS, (told.about,)).fetchall()
    return [f"{folder}: {total} messages, {unread} unread" for folder, total, unread in counts] or [
        "no messages"
    ]


def _products(connection: Connection, told: Told, _data: Path) -> list[str]:
    found = connection.execute(_PRODUCTS, (told.about,)).fetchall()
    return [
        f"{one_line(name)}: {price:.2f} {currency}, {stock.replace('_', ' ')}"
        for name, price, currency, stock in found
    ] or ["no product"]


def _song(data: Path, number: int, state: str, url: str | None, error: str | None) -> str:
    if url is None:
        return f"song {number} {state}: {one_line(error or '')}"
    path = data / unquote(url.lstrip("/"))
    if path.suffix != ".wav" or not path.is_file():
        return f"song {number}: {url}"
    with wave.open(str(path)) as sound:
        length = timedelta(seconds=sound.getnframes() / sound.getframerate())
    return f"song {number}: {shortened(path)}, {took(length)} long"


def _walked(told: Told, runs: Sequence[RunRow]) -> bool:
    """Whether every actor of the pipeline has run, each on an event that the one before it caused."""
    event: str | None = None
    for actor in told.pipeline.actors:
        own = [run for run in runs if run.actor == actor.name]
        if event is None:
            own = [run for run in own if run.event_id == told.event_id]
        else:
            own = [run for run in own if run.causation_id == event]
        if not own:
            return False
        event = own[-1].event_id
    return True


_RESULTS = {
    "page-scan": _recommendations,
    "song-order": _songs,
    "shop-products": _products,
    "purchase-confirmation": _letters,
    "inbox-counts": _counts,
}
