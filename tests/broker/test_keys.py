"""Keys: field paths are checked where they are declared, and values have one stable text."""

import enum
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import pytest
from pydantic import Field, HttpUrl, JsonValue

from broker.errors import ConfigurationError
from broker.keys import Key, rendered, resolve
from schemas import Event, Part, isolated


class Order(Part):
    id: int
    note: str | None = None


class Bought(Event):
    user_id: str
    order: Order
    gift: Order | None = None
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    limited: Annotated[Order, "told"] = Order(id=0)
    data: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])


class Returned(Event):
    user_id: str
    reason: str = ""


BOUGHT = Bought(user_id="u1", order=Order(id=7), labels={"team": "red"}, data={"a": [1, {"b": 2}]})


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with isolated():
        yield


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("user_id", "u1"),
        ("order.id", "7"),
        ("order.note", ""),
        ("gift.id", ""),
        ("gift", ""),
        ("limited.id", "0"),
        ("labels.team", "red"),
        ("labels.absent", ""),
        ("order", '{"id":7,"note":null}'),
        ("data.a", '[1,{"b":2}]'),
        (lambda event: (event.user_id, 3), '["u1",3]'),
        (lambda event: event.order.id * 2, "14"),
    ],
)
def test_a_key_is_read_from_the_event(key: Key, text: str) -> None:
    assert resolve(key, Bought)(BOUGHT) == text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "user_ids",
            r"key 'user_ids': Bought has no field 'user_ids'\. Did you mean 'user_id'\? It has: user_id, order",
        ),
        ("userId", "Did you mean 'user_id'"),
        ("order.ident", r"Bought: Order has no field 'ident'.*It has: id, note"),
        ("user_id.first", "nothing below 'first': it is a plain value"),
        ("", "has no field ''"),
        ("order.", "has no field ''"),
        ("__class__", "has no field '__class__'"),
        ("event_type", "has no field 'event_type'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_where_it_is_declared(path: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve(path, Bought)


def test_every_event_an_actor_hears_must_have_the_path() -> None:
    assert resolve("user_id", Bought, Returned)(Returned(user_id="u2")) == "u2"
    with pytest.raises(ConfigurationError, match=r"Returned has no field 'order'"):
        resolve("order.id", Bought, Returned)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (5, "5"),
        (True, "true"),
        (None, ""),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (HttpUrl("https://a.example/x"), "https://a.example/x"),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00+00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC).date(), "2026-01-01"),
        ({"b": 1, "a": UUID(int=1)}, '{"a":"00000000-0000-0000-0000-000000000001","b":1}'),
    ],
)
def test_a_value_has_one_stable_text(value: object, text: str) -> None:
    assert rendered(value) == text


@pytest.mark.parametrize("value", ["x" * 256, "ü" * 128, "a\0b", "a\nb", "\ud800"])
def test_what_cannot_be_a_key_in_an_index_is_hashed(value: str) -> None:
    text = rendered(value)

    assert text.startswith("blake2b:")
    assert len(text) < 255
    assert text == rendered(value) != rendered(value + "!")


def test_255_bytes_are_kept_as_they_are() -> None:
    assert rendered("x" * 255) == "x" * 255


@pytest.mark.parametrize("value", [object(), b"x", {1, 2}, lambda: 1])
def test_a_value_without_a_stable_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="a key must be"):
        rendered(value)
