"""A post office, a store with orders, and the domain's settings."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.emails import providers, store
from actors.emails.confirm_purchase import confirm_purchase
from actors.emails.erase import erase
from actors.emails.fail import fail
from actors.emails.notify_refund import notify_refund
from actors.emails.store import Item, Purchase
from actors.emails.try_again import try_again
from actors.emails.welcome import welcome
from broker import Actor
from broker.testing import Stage
from tests.actors.stages import stage
from tests.support.post_office import PostOffice, open_office
from tests.support.web import Web

ACTORS: tuple[Actor[Any, Any], ...] = (confirm_purchase, notify_refund, welcome, fail, erase, try_again)
Theatre = Callable[[], Stage]


def purchase(order_id: str, name: str = "Ada") -> Purchase:
    items = (
        Item(product="Blue Vase", quantity=2, price_cents=1250),
        Item(product="Card", quantity=1, price_cents=305),
    )
    return Purchase(order_id=order_id, customer_name=name, currency="EUR", items=items)


def place(play: Stage, *orders: Purchase) -> None:
    with play.database.once("test") as connection, connection.transaction():
        for order in orders:
            assert store.place(connection, order, "ada@example.com")


def log(play: Stage) -> list[tuple[Any, ...]]:
    return play.rows(
        "select about, status, provider, message_id is not null, coalesce(error, '') from emails.email_log order by about"
    )


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    """A mail server, configured."""
    with open_office() as made:
        for name, value in {"HOST": "127.0.0.1", "PORT": str(made.port), "STARTTLS": "0"}.items():
            monkeypatch.setenv(f"CALLBOARD_EMAILS_SMTP_{name}", value)
        providers.forget()
        yield made
    providers.forget()


@pytest.fixture
def service(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A service that sends over HTTP, configured."""
    monkeypatch.setenv("CALLBOARD_EMAILS_API_URL", web.url("/send"))
    monkeypatch.setenv("CALLBOARD_EMAILS_API_KEY", "key-1")
    providers.forget()
    yield web
    providers.forget()


@pytest.fixture
def theatre(dsn: str) -> Iterator[Stage]:
    with stage(dsn, *ACTORS) as play:
        yield play
