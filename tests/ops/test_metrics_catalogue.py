"""The catalogue of metrics, both ways: nothing is told that is not in it, and all that is in it is told."""

import re
import threading
from collections.abc import Mapping
from datetime import timedelta

import httpx

from broker import Backoff, Concurrency, NonRetriable, Run, Settings, actor
from broker.instruments import EXPORTED, Metric
from broker.pause import pause
from broker.telemetry import Telemetry
from broker.testing import Stage
from ops.boot import App
from ops.web.metrics import EXPOSED
from ops.web.server import serving
from schemas import Event
from tests.ops.conftest import Cli
from tests.support.otlp import Receiver
from tests.support.waiting import eventually
from tests.test_house import HOUSE

TYPE = re.compile(r"# TYPE (\S+) (\S+)")
SAMPLE = re.compile(r"(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="')
go_on = threading.Event()


class CatalogueAsked(Event, type="catalogue.asked"):
    number: int


class CatalogueTold(Event, type="catalogue.told"):
    number: int


@actor(retry=Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=2))
def tell(event: CatalogueAsked, run: Run) -> CatalogueTold:
    if event.number < 0:
        raise NonRetriable("less than nothing")
    return CatalogueTold(number=event.number)


@actor()
def doze(event: CatalogueAsked, run: Run) -> None:
    run.sleep(timedelta(hours=1))


@actor(concurrency=Concurrency(1))
def hold(event: CatalogueAsked, run: Run) -> None:
    go_on.wait(30)


@actor()
def halted(event: CatalogueTold, run: Run) -> None:
    raise AssertionError("it is paused")


def exposed(settings: Settings) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Name → kind, and name → the labels of its samples, of one scrape."""
    with serving(settings, loaded=App()) as address:
        text = httpx.get(f"{address}metrics", timeout=20).text
    labels: dict[str, set[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            assert found, line
            labels.setdefault(found[1], set()).update(set(LABEL.findall(found[2] or "")) - {"le"})
    return dict(TYPE.findall(text)), labels


KINDS: Mapping[str, str] = {metric.name: metric.kind for metric in EXPOSED}


def test_all_metrics_are_in_the_catalogue_and_the_other_way(dsn: str, collector: Receiver) -> None:
    go_on.clear()
    telemetry = Telemetry()
    with Stage(dsn, [tell, doze, hold, halted], meter=telemetry.meter) as stage:
        with stage.database.once("test") as connection:
            pause(connection, "actor", "test_metrics_catalogue.halted", "ada")
        for number in (1, 2, -1):
            stage.publish(CatalogueAsked(number=number))
        stage.publish(CatalogueAsked(number=3), delay=timedelta(hours=1))
        wanted = [metric for metric in EXPOSED if metric.name != "callboard_deliveries"]
        found = eventually(lambda: _all(exposed(stage.settings), wanted), 30, every=0.5)
        go_on.set()
        stage.engine.stop(timedelta(seconds=10))
        stage.publish(CatalogueAsked(number=4))
        kinds, labels = exposed(stage.settings)
    assert telemetry.shutdown()

    assert found is not None, "a metric is not shown"
    assert kinds == KINDS
    told = {**found, "callboard_deliveries": labels.get("callboard_deliveries")}
    assert told == {metric.name: set(metric.labels) for metric in EXPOSED}
    arrived = {metric.name: metric.unit for metric in collector.metrics}
    assert arrived == {metric.name: metric.unit for metric in EXPORTED}
    for metric in EXPORTED:
        points = [set(point) for point in collector.metric(metric.name)]
        assert set.intersection(*points) == {label for label in metric.labels if label[0] != "["}
        assert set.union(*points) == {label.strip("[]") for label in metric.labels}


def test_the_page_is_made_from_the_code(cli: Cli) -> None:
    assert cli("metrics", "--page").stdout == (HOUSE / "ops/docs/metrics.md").read_text()
    assert all(metric.name in cli("metrics").stdout for metric in (*EXPOSED, *EXPORTED))


def _all(
    scraped: tuple[dict[str, str], dict[str, set[str]]], wanted: list[Metric]
) -> dict[str, set[str]] | None:
    return scraped[1] if {metric.name for metric in wanted} <= set(scraped[1]) else None
