"""A worker is killed after a letter was taken and before that was written down: what a customer sees."""

import json
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.emails import EmailWelcome
from tests.end_to_end.store import Store
from tests.support.post_office import open_office
from tests.support.runner import running_worker
from tests.support.waiting import eventually
from tests.support.web import Call, serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos]

PATIENCE = timedelta(seconds=60)
LOG = "select status, provider, message_id from emails.email_log"


def killed_while(store: Store, taken: threading.Event, folder: Path, **settings: str) -> tuple[str, str, str]:
    """The worker that sends it is killed when the letter has been taken; another takes its place.

    Returns the log's one row at the end.
    """
    with running_worker(folder, store.dsn, "--processes", "1", **store.settings, **settings) as runner:
        runner.wait_ready()
        store.publisher.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
        assert taken.wait(PATIENCE.total_seconds()), runner.log()
        os.kill(runner.workers()[0], signal.SIGKILL)
        row = eventually(lambda: [row for row in store.rows(LOG) if row[0] == "sent"], PATIENCE, every=0.1)[0]
    store.publisher.transport.close()
    return row


@pytest.fixture
def store(dsn: str, transport_url: str) -> Store:
    return Store(dsn, transport_url)


def test_a_mail_server_has_at_most_a_second_copy_of_the_same_message(store: Store, tmp_path: Path) -> None:
    with open_office() as office:
        office.thinking_seconds = 3
        status, provider, message_id = killed_while(
            store,
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
        row = killed_while(store, taken, tmp_path, EMAILS_API_URL=web.url("/send"))
    assert row == ("sent", "http", "message 0")
    assert len(sent) == 1 and len(web.requests) == 2
