"""`callboard web` under the role that is made for it: every door, and the status page."""

import json
import secrets
from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from broker import Settings, people, realtime_token
from broker.event_keys import create
from broker.testing import Stage
from ops.access.postgres import ROLES, add_login, apply, name_of
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import ACTORS, HEARD, SCHEDULES, WEBHOOKS
from tests.ops.web.till import KEY, STRIPE, heard, now, stripe, stripe_event
from tests.support import signing, town_cast
from tests.support.listening import listening
from tests.support.town_cast import SQUARE, TownCalled

SECRET = "a secret that is long enough to be one"


@pytest.fixture
def web(stage: Stage) -> Iterator[Settings]:
    """Settings of a web process that logs in as a member of the role."""
    namespace, login = stage.settings.namespace, f"web_{secrets.token_hex(4)}"
    with stage.database.once("test") as owner:
        apply(owner, namespace, [])
        add_login(owner, login, "web", namespace, [], "secret")
    dsn = make_conninfo(stage.database.url, user=login, password="secret")
    yield stage.settings.model_copy(
        update={
            "database_url": SecretStr(dsn),
            "realtime_secret": SecretStr(SECRET),
            "cron_secret": SecretStr(f"a bearer secret, whsec_{b64encode(KEY).decode()}"),
        }
    )
    with stage.database.once("test") as owner:
        for role in (login, *(name_of(each, namespace) for each in ROLES)):
            owner.execute(sql.SQL("drop owned by {}; drop role {}").format(*[sql.Identifier(role)] * 2))


@pytest.fixture
def stage(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("CALLBOARD_TILL_STRIPE_SECRETS", STRIPE)
    with Stage(dsn, [*ACTORS, *town_cast.ACTORS], schedules=SCHEDULES) as made:
        made.rows(HEARD)
        yield made


def test_all_doors_and_the_page_work_under_the_role_of_the_web(
    stage: Stage, web: Settings, serve: Serve
) -> None:
    with stage.database.once("test") as owner:
        _, secret = create(owner, "shop", by="test", types=["till.*"])
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "till.paid",
        "data": {"session_id": "cs_0", "cents": 1},
    }
    address = serve(web, actors=(*ACTORS, *town_cast.ACTORS), webhooks=WEBHOOKS, schedules=SCHEDULES)
    with httpx.Client(base_url=address, timeout=20) as client:
        for _ in range(2):
            answer = client.post(
                "/events",
                content=json.dumps(event),
                headers={
                    "authorization": f"Bearer {secret}",
                    "content-type": "application/cloudevents+json",
                },
            )
            assert (answer.status_code, answer.json()) == (202, {"ids": ["e-1"]})
            assert stripe(client, stripe_event()).status_code == 202
        bearer = {"authorization": "Bearer a bearer secret"}
        tick = client.post("/cron/nightly", headers=bearer).json()["id"]
        signed = signing.standard(b"", KEY, "tick-1", now())
        again = {client.post("/cron/nightly", headers=signed).json()["id"] for _ in range(2)}
        assert len(again) == 1
        assert heard(stage) == sorted(
            [("till.paid", "e-1"), ("till.paid", "evt_1"), ("till.rang", tick), ("till.rang", *again)]
        )

        with listening(address, SQUARE, realtime_token(SQUARE, settings=web)) as ear:
            ear.ready()
            stage.publish(TownCalled(n=7))
            assert ear.hear()[0].data == {"n": 7, "attempt": 1, "part": 1}
        for path in ("/", "/?status=completed", "/runs/e-1", "/metrics", "/readyz", "/actors", "/events/e-1"):
            status = client.get(path, headers={"authorization": f"Bearer {secret}"}).status_code
            assert (path, status) == (path, 200)
    assert stage.rows("select used_at is not null from event_key") == [(True,)]


def test_people_sign_in_under_that_role_and_acts_are_refused_with_a_reason(
    stage: Stage, web: Settings, serve: Serve
) -> None:
    password = "correct horse battery"
    with stage.database.once("test") as owner:
        people.add(owner, "ada", "admin", password, "test")
    stage.publish(TownCalled(n=7))
    stage.drain()
    [(run,)] = stage.rows("select id from run limit 1")
    address = serve(web).rstrip("/")
    headers = {"accept": "text/html", "origin": address}
    with httpx.Client(base_url=address, timeout=20, headers=headers) as client:
        for given, code in (("wrong", 401), (password, 303)):
            assert client.post("/sign-in", data={"name": "ada", "password": given}).status_code == code
        form = {"act": "add", "name": "vera", "role": "viewer", "password": password}
        assert client.post("/people", data=form).status_code == 303
        assert client.get(f"/runs/{run}").status_code == 200
        answer = client.post(f"/runs/{run}/again")
        assert answer.status_code == 403 and "--as worker" in answer.text
