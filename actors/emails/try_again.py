"""Letters that were given up while a mail server was away are tried again later, by a rule instead of a person."""

from datetime import datetime
from uuid import UUID

from psycopg import Connection
from pydantic import BaseModel

from actors.emails import providers
from actors.emails.confirm_purchase import confirm_purchase
from actors.emails.notify_refund import notify_refund
from actors.emails.settings import EmailsSettings
from actors.emails.welcome import welcome
from broker import Run, actor
from broker.dead_letters import Filter, open_letters, replay
from broker.reopen import Again
from schemas.emails import EmailRetryDue

SENDERS = (confirm_purchase, notify_refund, welcome)
GIVEN_UP = "attempts used up"
"""Refused addresses are `not retriable`: asked again, they would be refused again."""
MOST = 200
"""A look: a server that has just come back is not buried; the next look finds the others."""

_NOW = "select clock()"


class TriedAgain(BaseModel):
    """How many letters are on their way again."""

    letters: int


@actor(title="Retry Failed Letters")
def try_again(event: EmailRetryDue, run: Run) -> TriedAgain:
    """Each letter at most `retry_times`, each time `retry_after` its last end; who replays one meanwhile comes first."""
    del event
    with run.transaction() as db:
        found = given_up(db, providers.settings())
        return TriedAgain(letters=len(replay(db, found, Again(by="emails.try_again"))))


def given_up(db: Connection, wanted: EmailsSettings) -> list[UUID]:
    """Of each kind the oldest first."""
    row = db.execute(_NOW).fetchone()
    assert row is not None
    now: datetime = row[0]
    found = [
        id
        for sender in SENDERS
        for id in open_letters(
            db,
            Filter(
                reason=GIVEN_UP,
                actor=sender.name,
                until=now - wanted.retry_after,
                replayed_below=wanted.retry_times,
            ),
        )
    ]
    return found[:MOST]
