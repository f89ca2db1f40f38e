"""`callboard.publish(type, data)`: an event from SQL, in the caller's transaction, whatever the language."""

from collections.abc import Callable

import psycopg
import pytest

from broker import Run, actor
from broker.testing import Stage
from schemas import Event
from tests.broker.engine.conftest import database, make_stage

__all__ = ["database", "make_stage"]

MakeStage = Callable[..., Stage]


class LetterPosted(Event, type="letter.posted"):
    text: str


@actor()
def deliver(event: LetterPosted, run: Run) -> None:
    pass


RUNS = "select event->>'text', event_source, status from run order by 1"


def test_what_commits_is_published_once_and_what_rolls_back_is_not(make_stage: MakeStage) -> None:
    stage = make_stage([deliver])
    call = f"select {stage.database.schema}.publish('letter.posted', jsonb_build_object('text', %s::text), %s, 'post-office')"
    with psycopg.connect(stage.database.url) as stranger:
        assert stranger.execute(call.encode(), ("one", "l-1")).fetchone() == ("l-1",)
        stranger.execute(call.encode(), ("one", "l-1"))
        stranger.commit()
        stranger.execute(call.encode(), ("two", "l-2"))
        stranger.rollback()
        stranger.execute(call.encode(), ("one", "l-1"))
        stranger.commit()
    stage.drain()
    assert stage.rows(RUNS) == [("one", "post-office", "completed")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("'Letter Posted', '{}'", "type: must be dotted"),
        ("'letter.#', '{}'", "type: must be dotted"),
        ("'letter.posted', '[]'", "data: must be a JSON object"),
        ("'letter.posted', null", "data: must be a JSON object"),
        ("'letter.posted', '{}', ''", "id, source"),
    ],
)
def test_what_cannot_be_an_event_is_refused(make_stage: MakeStage, arguments: str, told: str) -> None:
    stage = make_stage([deliver])
    with (
        stage.database.once("test") as connection,
        pytest.raises(psycopg.errors.InvalidParameterValue, match=told),
    ):
        connection.execute(f"select publish({arguments})".encode())
    assert stage.rows("select count(*) from outbox") == [(0,)]
