"""A worker is killed after a letter was taken and before that was written down: what a customer sees."""

import json
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from broker import Publisher
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from schemas.emails import EmailWelcome
from tests.actors.emails.post_office import open_office
from tests.actors.stages import ACTORS, domains
from tests.actors.web import Call, serving
from tests.support.runner import running_worker
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos]

PATIENCE = timedelta(seconds=60)
HOUSE_DOMAINS = sorted(room.parent.name for room in ACTORS.glob("*/sql"))
LOG = "select status, provider, message_id from emails.email_log"


class Store:
    """The house with the emails' tables, and a publisher."""

    def __init__(self, dsn: str, amqp: str) -> None:
        self.dsn = dsn
        self.database = Database(dsn)
        migrate(self.database, [*engine_migrations(self.database.schema), *domains(*HOUSE_DOMAINS)])
        transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(self.database)
        self.publisher = Publisher(transport, "test", self.database)
        self.settings = {"APPS": "", "DEMO": "1", **({"BROKER_URL": amqp} if amqp else {})}

    def log(self) -> list[tuple[str, str, str]]:
        with self.database.once("test") as connection:
            return connection.execute(LOG).fetchall()

    def killed_while(self, taken: threading.Event, folder: Path, **settings: str) -> tuple[str, str, str]:
        """The worker that sends it is killed when the letter has been taken; another takes its place.

        Returns the log's one row at the end.
        """
        with running_worker(folder, self.dsn, "--processes", "1", **self.settings, **settings) as runner:
            runner.wait_ready()
            self.publisher.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
            assert taken.wait(PATIENCE.total_seconds()), runner.log()
            os.kill(runner.workers()[0], signal.SIGKILL)
            row = eventually(lambda: [row for row in self.log() if row[0] == "sent"], PATIENCE, every=0.1)[0]
        self.publisher.transport.close()
        return row


@pytest.fixture
def store(dsn: str, transport_url: str) -> Store:
    return Store(dsn, transport_url)


def test_a_mail_server_has_at_most_a_second_copy_of_the_same_message(store: Store, tmp_path: Path) -> None:
    with open_office() as office:
        office.thinking_seconds = 3
        status, provider, message_id = store.killed_while(
            office.taken,
            tmp_path,
            EMAILS_SMTP_HOST="127.0.0.1",
            EMAILS_SMTP_PORT=str(office.port),
            EMAILS_SMTP_STARTTLS="0",
        )
    assert (status, provider) == ("sent", "smtp")
    assert [str(letter["Message-ID"]) for letter in office.letters] == [message_id] * 2


def test_a_service_that_keeps_keys_sends_it_once(store: Store, tmp_path: Path) -> None:
    taken, sent = threading.Event(), dict[str, str]()
    with serving() as web:

        def answer(call: Call) -> None:
            key = call.headers["idempotency-key"]
            again = key in sent
            sent.setdefault(key, f"message {len(sent)}")
            taken.set()
            if not again:
                web.closing.wait(3)
            call.answer(200, json.dumps({"id": sent[key]}), content_type="application/json")

        web.routes["/send"] = answer
        row = store.killed_while(taken, tmp_path, EMAILS_API_URL=web.url("/send"))
    assert row == ("sent", "http", "message 0")
    assert len(sent) == 1 and len(web.requests) == 2
