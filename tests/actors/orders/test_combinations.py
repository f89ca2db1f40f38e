"""Every combination of what can become of three variants."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from actors.orders import providers
from actors.orders.accept import accept
from actors.orders.fail import fail
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from tests.actors.orders.words import GOOD, WORDS, WordyStudio, ordered
from tests.actors.stages import stage
from tests.support.web import Web

ORDERS = "select id::text, status from orders.song_order"
VARIANTS = "select order_id::text, number, status from orders.song_variant order by 1, 2"


@pytest.fixture
def studio(web: Web, songs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WordyStudio]:
    made = WordyStudio(web)
    monkeypatch.setenv("CALLBOARD_ORDERS_MUSIC_URL", web.url("/v1"))
    providers.forget()
    yield made
    providers.forget()


def test_each_combination_ends_as_it_should_and_makes_nothing_twice(dsn: str, studio: WordyStudio) -> None:
    """A refused variant is final, a busy one asked for again, a broken one five times; one good variant completes the order."""
    orders = {words: ordered(words) for words in product(WORDS, repeat=3)}
    with stage(dsn, accept, generate, finalize, fail) as play:
        play.publisher.publish_many(list(orders.values()))
        for _ in range(8):
            play.drain(timedelta(seconds=60))
            play.clock.advance(timedelta(minutes=2))
        play.drain(timedelta(seconds=60))
        told = dict(play.rows(ORDERS))
        variants = {(id, number): status for id, number, status in play.rows(VARIANTS)}
        dead = play.rows("select count(*) from dead_letter where actor = 'orders.generate'")
    for words, order in orders.items():
        completed = any(word in GOOD for word in words)
        assert told[str(order.order_id)] == ("completed" if completed else "failed"), words
        for number, word in enumerate(words, 1):
            good = "complete" if word in GOOD else "failed"
            assert variants[str(order.order_id), number] == good, (words, number)
    assert dead == [(2**3,)], "the orders of nothing but bad and broken ones"
    assert set(studio.made.values()) == {1}
    assert len(studio.made) == sum(word in GOOD for words in orders for word in words)
