"""Events as an author declares them, and what they refuse to hold."""

# Declaring a class is the act; nobody names it again.
# pyright: reportUnusedClass=false

import json
import math
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from pydantic import HttpUrl, JsonValue, ValidationError

from schemas import DeclarationError, Event, Part, Registry, isolated


@pytest.fixture(autouse=True)
def declared() -> Iterator[Registry]:
    with isolated() as registry:
        yield registry


class Size(Part):
    is_wide: bool = False
    label: str = ""


class Base(Event):
    page_id: UUID
    size: Size = Size()
    count: int = 0
    ratio: float = 0.0
    data: JsonValue = None
    url: HttpUrl | None = None


def event(**fields: object) -> Base:
    return Base.model_validate({"page_id": uuid4(), **fields})


def test_a_declared_event_says_its_type_version_and_audience() -> None:
    class Told(Event, type="page.told", version=3, aliases=("page/told",), audience="outside"):
        pass

    assert (Told.event_type, Told.event_version) == ("page.told", 3)
    assert (Told.event_aliases, Told.event_audience) == (("page/told",), "outside")


def test_an_event_is_heard_in_the_house_and_version_1_unless_it_says_otherwise() -> None:
    class Told(Event, type="page.told"):
        pass

    assert (Told.event_version, Told.event_audience, Told.event_aliases) == (1, "house", ())


def test_a_class_without_a_type_is_an_abstract_base_and_is_not_recorded(declared: Registry) -> None:
    class Abstract(Event):
        page_id: UUID

    class Concrete(Abstract, type="page.concrete"):
        pass

    assert getattr(Abstract, "event_type", None) is None
    assert declared.registered() == (Concrete,)


def test_a_class_below_a_declared_event_needs_a_type_of_its_own() -> None:
    class Told(Event, type="page.told"):
        pass

    with pytest.raises(
        DeclarationError, match=r"Quietly: a class below 'page\.told' declares a type= of its own"
    ):

        class Quietly(Told):
            pass


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "a.",
            ".a",
            "a..b",
            "Page.scan",
            "page.Scan",
            "page/scan",
            "page-scan",
            "page.*",
            "#",
            "page.#",
        ),
        *("../etc", "page scan", "page.scan\n", "páge", "9page", "p\0", "x" * 300),
    ],
)
def test_a_type_that_is_no_routing_key_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="Bad: type"):

        class Bad(Event, type=name):
            pass


@pytest.mark.parametrize("version", [0, -1, 32768])
def test_a_version_outside_its_range_is_refused(version: int) -> None:
    with pytest.raises(DeclarationError, match="version"):

        class Bad(Event, type="page.bad", version=version):
            pass


def test_a_field_named_like_a_fact_of_the_class_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'event_type' is a fact of the class"):

        class Bad(Event, type="page.bad"):
            event_type: str  # type: ignore[misc]  # pyright: ignore


@pytest.mark.parametrize("spelled", ["page_id", "pageId"])
def test_both_spellings_of_a_field_are_accepted(spelled: str) -> None:
    page_id = uuid4()

    assert Base.model_validate({spelled: str(page_id)}).page_id == page_id


def test_parts_accept_camel_case_too() -> None:
    assert event(size={"isWide": True}).size.is_wide


def test_snake_case_is_what_is_published() -> None:
    assert set(json.loads(event().model_dump_json())) == set(Base.model_fields)


def test_unknown_fields_are_ignored() -> None:
    assert not hasattr(event(invented_later=1), "invented_later")


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        event().count = 2  # type: ignore[misc]  # pyright: ignore


def test_events_with_urls_are_comparable_and_hashable() -> None:
    first, second = (Base(page_id=UUID(int=1), url=HttpUrl("https://a.example/x")) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("fields", "place", "rule"),
    [
        ({"size": {"label": "a\0b"}}, ("size", "label"), "NUL"),
        ({"data": {"deep": ["x", "a\0"]}}, ("data", "deep", 1), "NUL"),
        ({"data": {"a\0": 1}}, ("data", "a\0"), "NUL"),
        ({"data": "\ud800"}, ("data",), "surrogate|unicode"),
        ({"count": 2**63}, ("count",), "64 bits"),
        ({"count": -(2**63) - 1}, ("count",), "64 bits"),
        ({"data": {"n": 10**30}}, ("data", "n"), "64 bits"),
        ({"ratio": math.nan}, ("ratio",), "finite"),
        ({"ratio": math.inf}, ("ratio",), "finite"),
        ({"data": [math.nan]}, ("data",), "finite"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    fields: dict[str, object], place: tuple[object, ...], rule: str
) -> None:
    with pytest.raises(ValidationError, match=rule) as caught:
        event(**fields)

    assert caught.value.errors()[0]["loc"][: len(place)] == place


def test_the_largest_integers_and_any_text_are_accepted() -> None:
    kept = event(count=2**63 - 1, data={"low": -(2**63), "text": "ünïcode 🎭 \\u0000"})

    assert Base.model_validate_json(kept.model_dump_json()) == kept


def test_values_too_deep_to_be_stored_are_refused() -> None:
    deep: JsonValue = "x"
    for _ in range(70):
        deep = [deep]

    with pytest.raises(ValidationError, match="deeper than 64"):
        event(data=deep)


def test_an_error_text_never_shows_what_was_sent() -> None:
    with pytest.raises(ValidationError) as caught:
        event(count="hunter2", url="hunter2")

    assert "hunter2" not in str(caught.value)
