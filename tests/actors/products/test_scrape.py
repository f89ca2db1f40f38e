"""Products over a real web server: read, kept, told when the price changes; and deliveries that ask for it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import JsonValue

from actors.products import providers
from actors.products.fail import fail
from actors.products.scrape import scrape
from actors.webhooks.dispatch import dispatch
from broker import Run, actor
from broker.testing import Stage
from schemas.products import ProductPriceChanged, ProductScrapeRequested
from schemas.webhooks import WebhookReceived
from tests.actors.stages import domains
from tests.support.web import Call, Web

PAGE = (
    '<script type="application/ld+json">{{"@type": "Product", "name": "Vase", "offers": '
    '{{"price": "{price}", "priceCurrency": "{currency}", "availability": "InStock"}}}}</script>'
)


@actor()
def hear(event: ProductPriceChanged, run: Run) -> None:
    pass


@pytest.fixture
def shop(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A shop that may be looked at although it is on the loopback address."""
    monkeypatch.setenv("CALLBOARD_PRODUCTS_ALLOWED_HOSTS", web.authority)
    providers.forget()
    yield web
    providers.forget()


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [dispatch, scrape, fail, hear], migrations=domains("products")) as made:
        yield made


def sells(shop: Web, price: str, currency: str = "EUR") -> None:
    shop.routes["/vase"] = lambda call: call.page(PAGE.format(price=price, currency=currency))


def look(stage: Stage, shop: Web) -> None:
    """A second after the last look, which is how often a shop is asked."""
    stage.clock.advance(timedelta(seconds=1))
    stage.publish(ProductScrapeRequested(shop_id="s-1", product_id="p-1", url=shop.url("/vase")))  # type: ignore[arg-type]
    stage.drain()


def kept(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.rows("select name, price, currency, availability, status from products.product")


def test_a_product_is_kept_and_a_change_of_its_price_is_told_once(stage: Stage, shop: Web) -> None:
    sells(shop, "12.50")
    look(stage, shop)
    assert kept(stage) == [("Vase", Decimal("12.5000"), "EUR", "in_stock", "completed")]
    look(stage, shop)
    assert published(stage) == []

    sells(shop, "9.99")
    look(stage, shop)
    sells(shop, "9.99", "USD")
    look(stage, shop)
    assert published(stage) == [("12.5", "9.99"), (None, "9.99")]
    assert stage.rows("select count(*) from products.product") == [(1,)]


def published(stage: Stage) -> list[tuple[Any, ...]]:
    """Changes of price that left, by what they say."""
    return stage.rows(
        """select trim_scale((event ->> 'before')::numeric)::text, trim_scale((event ->> 'price')::numeric)::text
        from run where actor = 'test_scrape.hear' order by created_at"""
    )


def test_what_cannot_be_read_is_marked_and_what_was_known_stays(stage: Stage, shop: Web) -> None:
    sells(shop, "12.50")
    look(stage, shop)
    for answer, reason in (
        (lambda call: call.answer(404), "answered 404"),
        (lambda call: call.page("<h1>gone</h1>"), "tells of no product"),
        (lambda call: call.answer(200, b"PDF", content_type="application/pdf"), "not HTML"),
    ):
        shop.routes["/vase"] = answer
        look(stage, shop)
        [(name, price, *_, status)] = kept(stage)
        assert (name, price, status) == ("Vase", Decimal("12.5000"), "failed")
        [(told,)] = stage.rows("select reason from products.product")
        assert reason in told


def test_a_shop_that_is_busy_is_asked_again_when_it_says(stage: Stage, shop: Web) -> None:
    asked: list[str] = []

    def busy_once(call: Call) -> None:
        asked.append(call.path)
        if len(asked) == 1:
            call.answer(429, retry_after="30")
        else:
            call.page(PAGE.format(price="5", currency="EUR"))

    shop.routes["/vase"] = busy_once
    look(stage, shop)
    assert kept(stage) == []
    stage.clock.advance(timedelta(seconds=29))
    stage.drain()
    assert len(asked) == 1
    stage.clock.advance(timedelta(seconds=2))
    stage.drain()
    assert kept(stage)[0][4] == "completed"


def test_private_addresses_are_never_asked(stage: Stage, web: Web) -> None:
    providers.forget()
    stage.publish(ProductScrapeRequested(shop_id="s-1", product_id="p-1", url=web.url("/vase")))  # type: ignore[arg-type]
    stage.drain()
    assert [status for *_, status in kept(stage)] == ["failed"]
    assert web.requests == []


def test_a_delivery_about_a_product_becomes_a_look_at_its_page(stage: Stage, shop: Web) -> None:
    sells(shop, "12.50")
    data: dict[str, JsonValue] = {
        "id": 77,
        "urls": {"customer": shop.url("/vase"), "admin": "https://admin.example"},
    }
    deliveries: list[tuple[str, dict[str, JsonValue]]] = [
        ("product.updated", {"merchant": 9, "data": data}),
        ("order.created", {"merchant": 9, "data": {"id": 1}}),
        ("product.created", {"merchant": 9, "data": {"name": "without a page"}}),
    ]
    for topic, payload in deliveries:
        stage.publish(WebhookReceived(provider="salla", topic=topic, delivery_id=topic, payload=payload))
    stage.drain()

    assert stage.rows("select shop_id, product_id, status from products.product") == [
        ("9", "77", "completed")
    ]
    assert stage.rows(
        "select status, count(*) from run where actor = 'webhooks.dispatch' group by 1 order by 1"
    ) == [
        ("completed", 2),
        ("failed", 1),
    ]
    [(error,)] = stage.rows("select error from dead_letter where actor = 'webhooks.dispatch'")
    assert "delivery product.created of salla" in error
    assert "without a page" not in error
