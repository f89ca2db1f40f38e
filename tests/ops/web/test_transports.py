"""From a door to its actor, on either transport."""

import httpx
import pytest

from tests.broker.engine.conftest import MakeStage, make_stage
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import ACTORS, HEARD, SCHEDULES, WEBHOOKS
from tests.ops.web.till import STRIPE, heard, stripe, stripe_event

__all__ = ["make_stage"]


def test_a_delivery_and_a_tick_reach_their_actors_once(
    make_stage: MakeStage, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_TILL_STRIPE_SECRETS", STRIPE)
    monkeypatch.setenv("CALLBOARD_CRON_SECRET", "clock")
    stage = make_stage(ACTORS, schedules=SCHEDULES)
    stage.rows(HEARD)
    settings = type(stage.settings)(
        namespace=stage.settings.namespace, database_url=stage.settings.database_url
    )
    with httpx.Client(base_url=serve(settings, webhooks=WEBHOOKS, schedules=SCHEDULES)) as client:
        for _ in range(3):
            assert stripe(client, stripe_event()).status_code == 202
            stage.drain()
        tick = client.post("/cron/nightly", headers={"authorization": "Bearer clock"}).json()["id"]

    assert heard(stage) == [("till.paid", "evt_1"), ("till.rang", tick)]
    assert stage.rows("select count(*) from run") == [(2,)]
