"""Erasing a person: payloads go from every table, whatever has become of the runs; others stay as they were."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import pytest

from broker import Backoff, CallboardError, NonRetriable, Run, actor
from broker.erase import PAGE, digest, erase, find
from broker.reopen import Again, rerun
from broker.testing import Stage
from schemas import SUBJECT, Event, registered

ONCE = Backoff(timedelta(0), timedelta(0), attempts=1)
ADA = "ada-0815"


class FormSent(Event, type="form.sent"):
    person_id: Annotated[str, SUBJECT]
    words: str
    then: str = "end"


class FormRead(Event, type="form.read"):
    words: str


class FormLost(Event, type="form.lost"):
    """Nobody hears it."""

    person_id: Annotated[str, SUBJECT]
    words: str


@actor(retry=ONCE, waits_for=[FormLost])
def read(event: FormSent, run: Run) -> FormRead | None:
    run.step("copy", str, event.words)
    run.broadcast(f"person-{event.person_id}", {"words": event.words})
    if event.then == "fail":
        raise NonRetriable(f"cannot read {event.words}")
    if event.then == "sleep":
        run.sleep(timedelta(days=3))
    return FormRead(words=event.words)


@actor()
def file(event: FormRead, run: Run) -> None:
    run.step("copy", str, event.words)


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [read, file]) as made:
        yield made


def everything(stage: Stage) -> str:
    """All rows of all tables of the engine, as text."""
    tables = [
        name
        for (name,) in stage.rows(
            "select table_name from information_schema.tables where table_schema = 'callboard'"
        )
    ]
    assert {"run", "step", "dead_letter", "broadcast", "event"} <= set(tables)
    return "\n".join(str(stage.rows(f"select t::text from {name} t")) for name in tables)


def erased(stage: Stage, person: str = ADA) -> int:
    with stage.database.once("test") as connection:
        found = find(connection, person, registered())
        erase(connection, person, found, "ben")
        return len(found.runs)


def test_all_that_is_about_one_is_gone_and_the_others_stay(stage: Stage) -> None:
    for then in ("end", "fail"):
        stage.publish(FormSent(person_id=ADA, words="canary", then=then))
    stage.publish(FormLost(person_id=ADA, words="canary"))
    stage.publish(FormRead(words="canary"), subject=ADA)
    stage.publish(FormSent(person_id="ben", words="sparrow"))
    stage.drain()
    assert "canary" in everything(stage)

    assert erased(stage) == 4

    left = everything(stage)
    assert "canary" not in left
    assert "sparrow" in left
    assert stage.rows("select count(*), count(*) filter (where status = 'completed') from run") == [(6, 5)]
    assert stage.rows("select who, target, details ->> 'runs' from audit where what = 'erase'") == [
        ("ben", digest(ADA), "4")
    ]
    assert erased(stage) == 0


def test_an_erased_run_is_not_run_again(stage: Stage) -> None:
    stage.publish(FormSent(person_id=ADA, words="canary"))
    stage.drain()
    [(id, *_), *_] = stage.rows("select id from run where event_type = 'form.sent'")
    erased(stage)

    with (
        stage.database.once("test") as connection,
        pytest.raises(CallboardError, match=f"run {id} was erased"),
    ):
        rerun(connection, id, Again("ben"))


def test_what_is_under_way_is_not_erased(stage: Stage) -> None:
    stage.publish(FormSent(person_id=ADA, words="canary", then="sleep"))
    stage.drain()

    with pytest.raises(CallboardError, match="1 runs and 0 messages about this person are under way"):
        erased(stage)
    assert "canary" in everything(stage)

    stage.clock.advance(timedelta(days=4))
    stage.drain()
    assert erased(stage) == 2
    assert "canary" not in everything(stage)


def test_an_erasure_that_was_interrupted_finds_the_rest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(PAGE + 20):
        stage.publish(FormSent(person_id=ADA, words="canary"))
    stage.drain()
    with stage.database.once("test") as connection:
        found = find(connection, ADA, registered())
        assert len(found.runs) == 2 * (PAGE + 20)
        first = type(found)(runs=found.runs[:PAGE])
        erase(connection, ADA, first, "ben")

    assert erased(stage) == PAGE + 40
    assert "canary" not in everything(stage)
