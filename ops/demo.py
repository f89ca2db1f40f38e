"""`./ops/run`: everything on a bare machine. An embedded PostgreSQL, supervised workers, a site to scan, events to watch.

    postgres ── migrate ── supervisor ── site ── a page, an order, a product, a purchase, an inbox ── their chains told
                                                                                                    └ --once ends here

Nothing is left behind but `.state`: data to go on with, and `.state/env` for a shell of one's own.
"""

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from uuid import UUID, uuid4

from psycopg import Connection
from pydantic import HttpUrl
from rich.console import Console

from actors.emails.checkout import purchased
from actors.emails.store import Item, Purchase
from broker import CallboardError, Publisher, logs
from broker.history import RunRow
from ops.cli.screen import console, errors, took
from ops.cli.session import connected, publishing
from ops.demo_house import House, running
from ops.demo_report import DemoError, Told, finished, length_of, results, standing, tell
from ops.embedded.process import EmbeddedError
from ops.household import shortened
from ops.web.server import serving
from schemas import Event, uuid7
from schemas.inbox import InboxCountsDirty
from schemas.orders import Customization, OrderPaid
from schemas.pages import PageScanRequested
from schemas.webhooks import WebhookReceived

STORY_LIMIT = timedelta(seconds=45)
"""For all chains; 2 s on two shared cores, and a retry of a slow start waits for up to 5 s."""
PAUSE = timedelta(seconds=30)
LOOK_SECONDS = 0.1
_asked_to_stop = threading.Event()
_MESSAGE = "insert into inbox.message (id, client_id, folder) values (%s, %s, 'new')"
SONGS = (
    ("Ada", "birthday", "folk", "happy"),
    ("Grace", "farewell", "jazz", "calm"),
    ("Edsger", "wedding", "classical", "romantic"),
)


@dataclass(frozen=True, slots=True)
class Show:
    """Publishes the demo's events and follows them."""

    house: House

    def scan(self, publisher: Publisher, url: str) -> Told:
        event = PageScanRequested(page_id=uuid4(), url=HttpUrl(url), user_id="demo")
        return self._published(publisher, event, "page-scan", event.page_id, url)

    def order(self, publisher: Publisher, song: tuple[str, str, str, str]) -> Told:
        name, occasion, genre, mood = song
        wish = Customization(recipient_name=name, occasion=occasion, genre=genre, mood=mood)
        event = OrderPaid(
            order_id=uuid4(), stripe_session_id=f"demo_{uuid4().hex}", customization=wish, user_id="demo"
        )
        return self._published(
            publisher, event, "song-order", event.order_id, f"a {genre} song for {name}'s {occasion}"
        )

    def change(self, publisher: Publisher) -> Told:
        """What a shop tells by webhook when somebody has changed a product."""
        product = f"demo-{uuid4().hex[:8]}"
        event = WebhookReceived(
            provider="salla",
            topic="product.updated",
            delivery_id=product,
            shop_id="demo",
            payload={"data": {"id": product, "urls": {"customer": f"{self.house.site.url}vase.html"}}},
        )
        event_id = publisher.publish(event, id=str(uuid7()))
        return self._told(event_id, "shop-products", product, f"product {product} of a shop")

    def buy(self, publisher: Publisher, connection: Connection) -> Told:
        """Row and event in one transaction, as a web would do it."""
        order = f"demo-{uuid4().hex[:8]}"
        bought = Purchase(
            order_id=order, customer_name="Ada", currency="EUR", items=(Item(product="Vase", quantity=2, price_cents=1250),)
        )  # fmt: skip
        with connection.transaction():
            event_id = purchased(connection, publisher, bought, "ada@example.com")
        return self._told(event_id, "purchase-confirmation", order, f"order {order} of ada@example.com")

    def receive(self, publisher: Publisher, connection: Connection) -> Told:
        """Three messages, and a word that the counts are old."""
        client = f"demo-{uuid4().hex[:8]}"
        with connection.transaction():
            for _ in range(3):
                connection.execute(_MESSAGE, (uuid4(), client))
            dirty = InboxCountsDirty(client_id=client, request_id="demo", source="demo")
            event_id = publisher.publish(dirty, connection=connection)
        return self._told(event_id, "inbox-counts", client, f"the inbox of {client}")

    def wait(self, connection: Connection, told: Told) -> list[RunRow]:
        """The runs of its story. Raises DemoError when it fails, or takes too long."""
        ends = time.monotonic() + STORY_LIMIT.total_seconds()
        while (runs := finished(connection, told)) is None:
            self.house.workers.refuse_dead()
            if time.monotonic() > ends:
                raise DemoError(
                    f"not complete after {took(STORY_LIMIT)}: {standing(connection, told)}; see {self.house.workers.log}"
                )
            time.sleep(LOOK_SECONDS)
        return runs

    def _published(self, publisher: Publisher, event: Event, pipeline: str, about: UUID, label: str) -> Told:
        return self._told(publisher.publish(event, id=str(uuid7())), pipeline, about, label)

    def _told(self, event_id: str, pipeline: str, about: UUID | str, label: str) -> Told:
        started = next(found for found in self.house.app.pipelines if found.name == pipeline)
        return Told(event_id, started, about, label)


def once(out: Console, show: Show) -> Told:
    """One of each, told whole; returns the first. Raises DemoError."""
    with publishing(show.house.settings) as publisher, connected(show.house.settings) as connection:
        stories = [
            show.scan(publisher, show.house.site.urls[1]),
            show.order(publisher, SONGS[0]),
            show.change(publisher),
            show.buy(publisher, connection),
            show.receive(publisher, connection),
        ]
        for told in stories:
            tell(out, connection, told, show.wait(connection, told), show.house.settings.data)
    return stories[0]


def go_on(out: Console, show: Show) -> NoReturn:
    """A new event now and then, one line each, until Ctrl-C."""
    urls, songs = (
        itertools.cycle(show.house.site.urls[2:] + show.house.site.urls[:2]),
        itertools.cycle(SONGS[1:] + SONGS[:1]),
    )
    for number in itertools.count(1):
        _pause(show)
        with publishing(show.house.settings) as publisher, connected(show.house.settings) as connection:
            told = show.order(publisher, next(songs)) if number % 4 == 0 else show.scan(publisher, next(urls))
            runs = show.wait(connection, told)
            came = "; ".join(results(connection, told, show.house.settings.data))
        out.print(f"{told.pipeline.name} complete in {took(length_of(runs))}: {came}", soft_wrap=True)
    raise AssertionError("count() does not end")


def _pause(show: Show) -> None:
    ends = time.monotonic() + PAUSE.total_seconds()
    while time.monotonic() < ends:
        if _asked_to_stop.is_set():
            raise KeyboardInterrupt
        show.house.workers.refuse_dead()
        time.sleep(LOOK_SECONDS)


def what_next(out: Console, show: Show, first: Told, page: str) -> None:
    """Commands to try, with what they need."""
    script = Path(sys.executable).with_name("callboard")
    callboard = shortened(script) if script.exists() else f"{shortened(Path(sys.executable))} -m ops"
    out.print(f"\nThe status page: {page}", style="bold", soft_wrap=True)
    out.print("It stays up and does something every 30 s. In another terminal:", style="bold")
    out.print(f"  . {shortened(show.house.settings.data / 'env')}", soft_wrap=True)
    for command, does in (
        ("runs", "what was done, newest first"),
        (f"runs show {first.event_id}", "its steps, its retries, its story"),
        ("pipelines", "who hears what"),
        (f"why {first.event_id}", "what explains an event's state"),
        ("dead list", "what was given up, to replay or discard"),
        (f"publish page.scan.requested '{_payload(show)}'", "scan a page"),
    ):
        out.print(f"  {callboard} {command}", soft_wrap=True, end="")
        out.print(f"  # {does}", style="dim", soft_wrap=True)
    out.print(
        f"Logs: {shortened(show.house.workers.log)}. The site: {show.house.site.url}. Ctrl-C stops everything.\n",
        soft_wrap=True,
    )


def _payload(show: Show) -> str:
    return f'{{"page_id": "{uuid4()}", "url": "{show.house.site.url}season.html", "user_id": "me"}}'


def _interrupt(_number: int, _frame: object) -> NoReturn:
    """Noted as well as raised: an exception that lands in a callback of the interpreter's own (an import's, the collector's) is
    printed and forgotten."""
    _asked_to_stop.set()
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ops/run", description="Show Callboard on this machine.")
    parser.add_argument(
        "--once",
        action="store_true",
        help="end when a page is scanned, songs are made, a product is read, a letter is sent and an inbox counted",
    )
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    logs.configure("warning")
    data = Path(os.environ.get("CALLBOARD_DATA") or ".state").absolute()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    out = console()
    try:
        with running(out, data) as house:
            show = Show(house)
            first = once(out, show)
            if not given.once:
                with serving(
                    house.settings.model_copy(update={"ingest_open": True}), loaded=house.app
                ) as page:
                    what_next(out, show, first, page)
                    go_on(out, show)
    except KeyboardInterrupt:
        out.print("\nstopped", style="dim")
        return 130 if given.once else 0
    except (CallboardError, EmbeddedError) as error:
        errors().print(f"error: {error}", style="red", soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
