"""A worker is killed while it looks at a product's page: the delivery that asked for it is done once all the same."""

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.webhooks import WebhookReceived
from tests.actors.products.test_scrape import PAGE
from tests.end_to_end.store import Store
from tests.support.runner import running_worker
from tests.support.waiting import eventually
from tests.support.web import Call, serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos]

PATIENCE = timedelta(seconds=60)
KEPT = "select name, price::float, currency, status from products.product"
CHANGES = "select count(*) from dead_letter where reason = 'unheard' and event_type = 'product.price.changed'"


def delivery(id: str, url: str) -> WebhookReceived:
    return WebhookReceived(
        provider="salla",
        topic="product.price.updated",
        delivery_id=id,
        shop_id="s-1",
        payload={"data": {"id": "p-1", "urls": {"customer": url}}},
    )


def test_a_kill_while_a_page_is_read_loses_no_price_and_tells_it_once(
    dsn: str, transport_url: str, tmp_path: Path
) -> None:
    store, prices, asked = Store(dsn, transport_url), ["10.00"], threading.Event()
    with serving() as web:

        def page(call: Call) -> None:
            if asked.is_set() or prices == ["10.00"]:
                return call.page(PAGE.format(price=prices[-1], currency="EUR"))
            asked.set()
            return None if web.closing.wait(3) else call.page(PAGE.format(price="99.00", currency="EUR"))

        web.routes["/vase"] = page
        settings = {**store.settings, "PRODUCTS_ALLOWED_HOSTS": web.authority}
        with running_worker(tmp_path, dsn, "--processes", "1", **settings) as runner:
            runner.wait_ready()
            store.publisher.publish(delivery("d-1", web.url("/vase")))
            eventually(lambda: store.rows(KEPT) == [("Vase", 10.0, "EUR", "completed")], PATIENCE)

            prices.append("12.00")
            store.publisher.publish(delivery("d-2", web.url("/vase")))
            assert asked.wait(PATIENCE.total_seconds()), runner.log()
            os.kill(runner.workers()[0], signal.SIGKILL)

            eventually(lambda: store.rows(KEPT) == [("Vase", 12.0, "EUR", "completed")], PATIENCE)
            eventually(lambda: store.rows(CHANGES) == [(1,)], PATIENCE)
            unfinished = "select count(*) from run where finished_at is null"
            eventually(lambda: store.rows(unfinished) == [(0,)], PATIENCE)
        assert store.rows(CHANGES) == [(1,)]
        assert store.rows(
            "select actor, count(*) from run where event_type not like '%.due' group by 1 order by 1"
        ) == [
            ("products.scrape", 2),
            ("webhooks.dispatch", 2),
        ]
    store.publisher.transport.close()
