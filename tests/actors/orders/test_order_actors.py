"""Orders from the payment to the songs, on a whole engine."""

import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from actors.notifications.notify import notify
from actors.orders import store
from actors.orders.accept import accept
from actors.orders.fail import fail
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from actors.orders.offer import offer
from broker import dead_letters
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.reopen import Again
from broker.testing import Stage
from schemas.orders import Customization, OrderCompleted, OrderPaid
from tests.actors.orders.conftest import Studio
from tests.actors.stages import domains, stage
from tests.support.audience import TABLE, hear

HOUSE = (accept, generate, finalize, fail)


def paid(session: str = "cs_1", **wish: object) -> OrderPaid:
    asked = {"recipient_name": "Ada", "occasion": "birthday", "genre": "pop", "mood": "happy", **wish}
    customization = Customization.model_validate(asked)
    return OrderPaid(order_id=uuid4(), stripe_session_id=session, customization=customization, user_id="ada")


def theatre(dsn: str) -> Stage:
    play = stage(dsn, *HOUSE, hear)
    with play.database.once("test") as connection:
        connection.execute(TABLE)
    return play


def order(stage: Stage) -> tuple[str, str | None]:
    [row] = stage.rows("select status, reason from orders.song_order")
    return row[0], row[1]


def variants(stage: Stage) -> list[tuple[int, str, str | None]]:
    return stage.rows("select number, status, url from orders.song_variant order by number")


def heard(stage: Stage) -> list[str]:
    return [type for (type,) in stage.rows("select type from heard")]


def test_an_order_becomes_three_different_songs(dsn: str, songs: Path) -> None:
    event = paid(story="We met in a garden", tempo=120)

    with theatre(dsn) as play:
        play.publish(event)
        play.drain()

        assert order(play) == ("completed", None)
        assert variants(play) == [
            (number, "complete", f"/songs/orders/{event.order_id}/{number}.wav") for number in (1, 2, 3)
        ]
        assert heard(play) == ["order.completed"]
        assert len({path.read_bytes() for path in songs.rglob("*.wav")}) == 3
        names = [name for (name,) in play.rows("select name from step order by finished_at")]
        assert names[:3] == ["fetch-customization", "mark-generating", "create-variant-records"]
        assert [name for name in names if name.startswith("generate-and-upload")] == [
            f"generate-and-upload[{index}]" for index in range(3)
        ]


def test_a_buyer_with_an_account_is_offered_the_other_genres_once(dsn: str, songs: Path) -> None:
    with stage(dsn, *HOUSE, offer, notify) as play:
        mine, nobodys = paid("cs_1"), paid("cs_2").model_copy(update={"user_id": None})
        play.publish(mine)
        play.publish(nobodys)
        play.drain()
        play.publish(OrderCompleted(order_id=mine.order_id, variant_urls=("/songs/1.wav",)))
        play.publish(OrderCompleted(order_id=uuid4(), variant_urls=("/songs/1.wav",)))
        play.drain()

        others = ["rock", "folk", "jazz", "classical", "electronic"]
        offers = play.rows("select order_id, genres from orders.song_offer order by created_at")
        assert sorted(offers) == sorted([(mine.order_id, others), (nobodys.order_id, others)])
        told = play.rows("select user_id, message from notifications.notification")
        assert told == [("ada", "It would also sound well as rock, folk, jazz, classical, electronic.")]
        assert play.rows("select 1 from dead_letter") == []


def test_one_payment_is_one_generation_however_often_it_is_told(dsn: str, studio: Studio) -> None:
    with theatre(dsn) as play:
        first, second = paid("cs_1"), paid("cs_1")
        for _ in range(2):
            play.publish(first)
            play.publish(second)
        play.drain()

        assert len(play.rows("select id from orders.song_order")) == 1
        assert sorted(studio.asked) == [1, 2, 3]
        assert heard(play) == ["order.completed"]


def test_a_second_payment_for_the_same_order_is_a_dead_letter_and_the_order_none_the_worse(
    dsn: str, songs: Path
) -> None:
    event = paid("cs_1")

    with theatre(dsn) as play:
        play.publish(event)
        play.drain()
        play.publish(event.model_copy(update={"stripe_session_id": "cs_2"}))
        play.drain()

        [(error,)] = play.rows("select error from dead_letter")
        assert "paid twice" in error
        assert order(play) == ("completed", None)
        assert heard(play) == ["order.completed"]


def test_one_good_variant_completes_the_order_and_the_others_say_what_went_wrong(
    dsn: str, studio: Studio
) -> None:
    studio.refuse = lambda variant, before: None if variant == 2 else (400, None)

    with theatre(dsn) as play:
        play.publish(paid())
        play.drain()

        assert order(play)[0] == "completed"
        assert [status for _, status, _ in variants(play)] == ["failed", "complete", "failed"]
        [(error,)] = play.rows("select error from orders.song_variant where number = 1")
        assert "400" in error
        assert studio.asked == [1, 2, 3]
        assert play.rows("select count(*) from dead_letter") == [(0,)]


def test_a_finished_variant_is_never_made_again(dsn: str, studio: Studio) -> None:
    studio.refuse = lambda variant, before: (500, None) if variant == 3 and before < 4 else None

    with theatre(dsn) as play:
        play.publish(paid())
        play.drain()
        # Full jitter may make a retry due at once, so how far it has come by now is not told; where it ends is.
        assert [status for _, status, _ in variants(play)][:2] == ["complete", "complete"]
        for _ in range(4):
            play.clock.advance(timedelta(minutes=2))
            play.drain()

        assert studio.asked == [1, 2, 3, 3, 3, 3, 3]
        assert len(set(studio.keys[2:])) == 1
        assert order(play) == ("completed", None)


def test_a_provider_that_is_busy_is_asked_again_when_it_says(dsn: str, studio: Studio) -> None:
    studio.refuse = lambda variant, before: (429, "300") if variant == 1 and before == 0 else None

    with theatre(dsn) as play:
        play.publish(paid())
        play.drain()
        play.clock.advance(timedelta(seconds=290))
        play.drain()
        assert studio.asked == [1, 2, 3]

        play.clock.advance(timedelta(seconds=15))
        play.drain()
        assert studio.asked == [1, 2, 3, 1]
        assert order(play) == ("completed", None)


def test_an_order_that_nobody_can_make_is_a_dead_letter_at_once_and_its_replay_completes_it(
    dsn: str, studio: Studio
) -> None:
    studio.refuse = lambda variant, before: (400, None)
    event = paid()

    with theatre(dsn) as play:
        play.publish(event)
        play.drain()

        assert studio.asked == [1, 2, 3]
        assert order(play)[0] == "failed"
        assert [status for _, status, _ in variants(play)] == ["failed"] * 3
        assert heard(play) == ["order.failed"]
        [(letter, actor, told)] = play.rows("select id, actor, event from dead_letter")
        assert (actor, told) == ("orders.generate", {"order_id": str(event.order_id)})

        studio.refuse = lambda variant, before: None
        with play.database.once("replay") as connection:
            dead_letters.replay(connection, [letter], Again("tester"))
        play.drain()
        assert order(play) == ("completed", None)
        assert [status for _, status, _ in variants(play)] == ["complete"] * 3
        assert sorted(heard(play)) == ["order.completed", "order.failed"]


def test_a_wish_that_cannot_be_played_fails_the_order_without_asking_anyone(dsn: str, studio: Studio) -> None:
    with theatre(dsn) as play:
        play.publish(paid(genre="polka"))
        play.drain()

        status, reason = order(play)
        assert status == "failed"
        assert "genre" in (reason or "")
        assert play.rows("select attempt from run where actor = 'orders.generate'") == [(1,)]
        assert studio.asked == []


def test_five_attempts_are_made_when_the_store_of_songs_is_broken(
    dsn: str, songs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs.parent.joinpath("songs").write_text("a file where the folder should be")

    with theatre(dsn) as play:
        play.publish(paid())
        for _ in range(6):
            play.drain()
            play.clock.advance(timedelta(minutes=2))

        assert play.rows("select tries from step where name like 'generate-and-upload%%' order by name") == [
            (5,), (5,), (5,)
        ]  # fmt: skip
        assert order(play)[0] == "failed"


def test_an_acceptance_that_was_given_up_leaves_a_failed_order_that_a_replay_accepts(
    dsn: str, songs: Path
) -> None:
    with theatre(dsn) as play:
        with play.database.once("test") as connection:
            connection.execute("alter table orders.song_order add constraint shut check (status = 'failed')")
        play.publish(paid())
        for _ in range(5):
            play.drain()
            play.clock.advance(timedelta(minutes=6))
        play.drain()
        assert order(play)[0] == "failed"
        assert heard(play) == ["order.failed"]

        with play.database.once("test") as connection:
            connection.execute("alter table orders.song_order drop constraint shut")
            [(letter,)] = connection.execute("select id from dead_letter").fetchall()
            dead_letters.replay(connection, [letter], Again("tester"))
        play.drain()
        assert order(play) == ("completed", None)


@pytest.fixture
def database(dsn: str) -> Database:
    """The tables, without an engine."""
    made = Database(dsn)
    migrate(made, [*engine_migrations(made.schema), *domains("orders")])
    return made


def test_of_two_claims_at_once_one_waits_and_loses(database: Database) -> None:
    answers: list[bool] = []

    def claim() -> None:
        with database.connect("second", autocommit=False) as second:
            answers.append(store.claim_order(second, paid("cs_1")))

    with database.connect("first", autocommit=False) as first:
        assert store.claim_order(first, paid("cs_1"))
        other = threading.Thread(target=claim)
        other.start()
        assert answers == []
        first.commit()
    other.join(10)
    assert answers == [False]


def test_a_user_reads_only_orders_and_variants_of_their_own(database: Database) -> None:
    event = paid()
    with database.once("owner") as owner:
        store.claim_order(owner, event)
        store.create_variants(owner, event.order_id)
        owner.execute("drop role if exists callboard_test_web")
        owner.execute("create role callboard_test_web")
        owner.execute("grant usage on schema orders to callboard_test_web")
        owner.execute("grant select on all tables in schema orders to callboard_test_web")

    def seen(user: str | None) -> tuple[int, int]:
        with database.connect("web") as web:
            web.execute("set role callboard_test_web")
            if user is not None:
                web.execute("select set_config('callboard.user_id', %s, false)", [user])
            orders = web.execute("select id from orders.song_order").fetchall()
            return len(orders), len(web.execute("select number from orders.song_variant").fetchall())

    assert (seen("ada"), seen("bea"), seen(None)) == ((1, 3), (0, 0), (0, 0))
    with database.connect("web") as web:
        web.execute("set role callboard_test_web")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            web.execute("update orders.song_order set user_id = 'bea'")
    with database.once("owner") as owner:
        owner.execute("drop owned by callboard_test_web")
        owner.execute("drop role callboard_test_web")
