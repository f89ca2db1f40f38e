"""The wiring of this house: every pipeline builds, and nothing that is said goes unheard."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

from broker import load_settings
from ops.boot import load
from pipelines.page_scan import page_scan
from pipelines.song_order import song_order

HOUSE = Path(__file__).parents[2]
DEMO = load_settings().model_copy(update={"demo": True})


def test_all_actors_and_pipelines_fit_together() -> None:
    app = load(DEMO)

    assert {page_scan, song_order} <= set(app.pipelines)
    assert {"pages.scan", "pages.fail", "orders.accept", "orders.fail", "notifications.notify"} <= {
        actor.name for actor in app.actors
    }
    assert {"pages", "orders", "notifications"} <= {name for name, _ in app.domains}
    assert app.faults() == []


def test_diagrams_show_actors_and_the_events_between_them() -> None:
    assert page_scan.mermaid().splitlines() == [
        "flowchart LR",
        '    start(["page.scan.requested"]) --> pages_scan',
        '    pages_scan["pages.scan"]',
        '    pages_analyze["pages.analyze"]',
        '    notifications_notify["notifications.notify"]',
        '    pages_scan -- "page.analyze.requested" --> pages_analyze',
        '    pages_analyze -- "notification.send" --> notifications_notify',
    ]
    assert [type for _, type, _ in song_order.links()] == ["order.accepted", "order.variants_generated"]


def test_importing_actors_needs_no_setting_and_builds_no_provider() -> None:
    program = """
import pipelines.page_scan, pipelines.song_order
from actors.pages import providers as pages
from actors.orders import providers as orders
used = [pages.settings, pages.fetcher, pages.analyser, orders.settings, orders.music_maker, orders.storage]
assert [choice.cache_info().currsize for choice in used] == [0] * 6
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    broken = {"CALLBOARD_PAGES_FETCH_TIME": "soon", "CALLBOARD_ORDERS_S3_ENDPOINT": "https://s3.example"}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HOUSE, env={**environment, **broken}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_every_actor_is_named_by_its_file() -> None:
    for actor in load(DEMO).actors:
        assert vars(importlib.import_module(f"actors.{actor.name}"))[actor.fn.__name__] is actor
