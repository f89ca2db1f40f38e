"""The demo's pipelines where nobody may do more than their part: a worker's role and user, a publisher's; the owner rests."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ops.access.postgres import ROLES, name_of
from ops.demo_site.server import DemoSite
from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.end_to_end.stories import scanned_and_told, song_made, song_paid
from tests.support.installation import Installation, installed

pytestmark = pytest.mark.end_to_end


@pytest.fixture(params=["rabbitmq", "postgres"])
def owned(
    request: pytest.FixtureRequest,
    dsn: str,
    site: DemoSite,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """As its owner has it, on a RabbitMQ that takes commands about users, or on none."""
    if request.param == "postgres":
        yield installed(dsn, "", tmp_path, CALLBOARD_PAGES_ALLOWED_HOSTS=site.host)
        return
    with EmbeddedRabbit(tmp_path_factory.mktemp("managed"), management=True) as node:
        yield installed(
            dsn,
            node.url,
            tmp_path,
            CALLBOARD_PAGES_ALLOWED_HOSTS=site.host,
            CALLBOARD_RABBITMQ_API=node.management_url,
        )


@pytest.fixture
def logins(owned: Installation) -> Iterator[dict[str, str]]:
    """Role → DSN of a login that the owner has made."""
    made: dict[str, str] = {}
    names = {role: f"{role}_{secrets.token_hex(4)}" for role in ("worker", "publisher")}
    for role, name in names.items():
        file = owned.directory / f"{role}.password"
        file.write_text(secrets.token_hex(8))
        owned.callboard("setup", "postgres", name, "--as", role, "--password-file", str(file))
        made[role] = make_conninfo(owned.database.url, user=name, password=file.read_text())
    yield made
    with owned.database.once("test") as owner:
        for role in (*names.values(), *(name_of(each, owned.database.schema) for each in ROLES)):
            owner.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


def test_pipelines_run_and_sql_publishes_with_the_least_rights(
    owned: Installation, logins: dict[str, str], site: DemoSite
) -> None:
    amqp = owned.environment["CALLBOARD_BROKER_URL"]
    if amqp:
        told = owned.callboard("setup", "rabbitmq", "house", "--as", "worker")
        [amqp] = [line for line in told.splitlines() if line.startswith("amqp://")]
    humble = owned.but(
        CALLBOARD_DATABASE_URL=logins["worker"], CALLBOARD_BROKER_URL=amqp, CALLBOARD_RABBITMQ_API=""
    )
    page_id = uuid4()
    data = {"page_id": str(page_id), "url": site.urls[1], "user_id": "ada"}
    with humble.workers(processes=2) as workers:
        with psycopg.connect(logins["publisher"]) as session:
            session.execute(
                sql.SQL("select {}.publish('page.scan.requested', %s)").format(
                    sql.Identifier(owned.database.schema)
                ),
                (json.dumps(data),),
            )
        scanned_and_told(owned, page_id)
        song_made(owned, song_paid(humble))
        assert not workers.died()
    assert workers.process.returncode == 0
