"""A tracing backend by others makes one picture of each chain, though every actor has a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import PATIENCE, scan_asked, song_paid
from tests.support.installation import Installation
from tests.support.phoenix import Phoenix, Stored, running_phoenix
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def product_told(callboard: Installation, site: DemoSite) -> None:
    callboard.publish(
        "webhook.received",
        provider="acme",
        topic="product.updated",
        delivery_id="d-1",
        payload={"data": {"id": 7, "urls": {"customer": f"{site.url}vase.html"}}},
    )


def project_asked(callboard: Installation, site: DemoSite) -> None:
    callboard.publish(
        "project.batch_scan.requested", project_id=str(uuid4()), user_id="ada", urls=list(site.urls[:2])
    )


def client_changed(callboard: Installation, _site: DemoSite) -> None:
    callboard.publish("inbox.counts.dirty", client_id="ada", request_id="r-1", source="test")


CHAINS: dict[str, tuple[Callable[[Installation, DemoSite], object], tuple[str, ...]]] = {
    "page-scan": (
        lambda callboard, site: scan_asked(callboard, site.urls[0]),
        ("pages.scan", "pages.analyze", "notifications.notify"),
    ),
    "project-scan": (project_asked, ("pages.scan_project", "pages.scan", "pages.track")),
    "song-order": (
        lambda callboard, _site: song_paid(callboard),
        ("orders.accept", "orders.generate", "orders.finalize"),
    ),
    "shop-products": (product_told, ("webhooks.dispatch", "products.scrape")),
    "inbox-counts": (client_changed, ("inbox.collect", "inbox.recompute")),
}


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    with running_phoenix(tmp_path_factory.mktemp("phoenix")) as phoenix:
        yield phoenix


@pytest.mark.parametrize("pipeline", CHAINS)
def test_a_backend_by_others_puts_each_chain_together(
    pipeline: str, on_rabbitmq: Installation, site: DemoSite, phoenix: Phoenix
) -> None:
    begin, actors = CHAINS[pipeline]
    traced = on_rabbitmq.but(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{phoenix.endpoint}/v1/traces",
        OTEL_BSP_SCHEDULE_DELAY="100",
        CALLBOARD_PRODUCTS_ALLOWED_HOSTS=site.host,
    )
    before = {span.trace for span in phoenix.spans()}
    with ExitStack() as processes:
        for actor in actors:
            processes.enter_context(traced.workers(actors=actor))
        begin(traced, site)

        def whole() -> list[Stored] | None:
            spans = [span for span in phoenix.spans() if span.trace not in before]
            # Schedules of the house may tick meanwhile: each tick is a trace of its own.
            ticks = {span.trace for span in spans if span.name.endswith(".due")}
            spans = [span for span in spans if span.trace not in ticks]
            return (
                spans if {f"process {actor}" for actor in actors} <= {span.name for span in spans} else None
            )

        eventually(whole, PATIENCE, every=0.2)
    spans = whole() or []

    assert len({span.trace for span in spans}) == 1, [span.name for span in spans]
    [root] = [span for span in spans if span.parent is None]
    assert root.name.startswith("publish ")
    assert {span.parent for span in spans if span.parent} <= {span.id for span in spans}
    assert not traced.rows(
        "select actor, status, reason from run where status = 'failed' and actor = any(%s)", ([*actors],)
    )
