"""The registry: names, versions, upcasters, and what becomes of data that fits none."""

# Declaring a class is the act; nobody names it again.
# pyright: reportUnusedClass=false

import json
from collections.abc import Iterator
from types import new_class
from typing import Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import field_validator

from schemas import (
    DeclarationError,
    Event,
    InvalidPayload,
    JsonObject,
    Registry,
    UnknownType,
    UnknownVersion,
    isolated,
    registered,
    registry,
)


@pytest.fixture
def fresh() -> Iterator[Registry]:
    with isolated() as found:
        yield found


def declare(
    event_type: str, version: int = 1, name: str = "Told", aliases: tuple[str, ...] = ()
) -> type[Event]:
    def body(namespace: dict[str, object]) -> None:
        namespace |= {"__module__": __name__, "__qualname__": name, "__annotations__": {"text": str}}

    kind = new_class(name, (Event,), {"type": event_type, "version": version, "aliases": aliases}, body)
    assert issubclass(kind, Event)
    return kind


def test_an_empty_registry_is_valid(fresh: Registry) -> None:
    assert fresh.registered() == ()
    with pytest.raises(UnknownType, match=r"no event of type 'page\.told'"):
        fresh.validate("page.told", 1, b"{}")


def test_a_declared_class_is_found_by_type_and_version(fresh: Registry) -> None:
    first, second = declare("page.told"), declare("page.told", 2, "ToldAgain")

    assert fresh.find("page.told") is second
    assert fresh.find("page.told", 1) is first
    assert fresh.registered() == registered() == (first, second)
    assert registry() is fresh


def test_an_isolated_registry_leaves_the_other_alone() -> None:
    before = registered()
    with isolated():
        declare("page.told")

    assert registered() == before


def test_two_classes_of_one_type_and_version_are_refused_naming_both(fresh: Registry) -> None:
    declare("page.told")

    with pytest.raises(DeclarationError, match=r"test_registry\.Told and by .*test_registry\.Other"):
        declare("page.told", name="Other")


def test_the_same_class_may_be_declared_again_by_a_reload(fresh: Registry) -> None:
    declare("page.told")
    again = declare("page.told")

    assert fresh.registered() == (again,)


@pytest.mark.parametrize(
    "name", ["page.scan_now", "page/scan-now", "page:scan_now", "page.scan-now", "scan", "pages/scan"]
)
def test_foreign_names_are_normalised(fresh: Registry, name: str) -> None:
    kind = declare("page.scan_now", aliases=("scan", "pages/scan", "page/scan-now"))

    assert fresh.normalise(name) == "page.scan_now"
    assert fresh.find(name) is kind


def test_an_unknown_name_comes_back_with_its_separators_changed(fresh: Registry) -> None:
    assert fresh.normalise("who/knows-that") == "who.knows_that"


def test_an_alias_cannot_mean_two_types(fresh: Registry) -> None:
    declare("page.told", aliases=("told",))
    with pytest.raises(DeclarationError, match=r"alias 'told' already means 'page\.told'"):
        declare("other.told", name="Other", aliases=("told",))
    with pytest.raises(DeclarationError, match="already an alias"):
        declare("told", name="Third")
    with pytest.raises(DeclarationError, match="already means"):
        declare("fourth", name="Fourth", aliases=("page/told",))

    assert [kind.__name__ for kind in fresh.registered()] == ["Told"]


@pytest.fixture
def three_versions(fresh: Registry) -> Registry:
    class TextV1(Event, type="text.said"):
        old_text: str

    class TextV2(Event, type="text.said", version=2):
        text: str

    class TextV3(Event, type="text.said", version=3):
        text: str
        length: int

    @fresh.upcaster(TextV2, from_version=1)
    def rename(data: JsonObject) -> JsonObject:
        return {"text": data["old_text"]}

    @fresh.upcaster(TextV3, from_version=2)
    def measure(data: JsonObject) -> JsonObject:
        return {**data, "length": len(str(data["text"]))}

    return fresh


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, b'{"old_text":"abc"}'),
        (1, b'{"oldText":"abc"}'),
        (2, b'{"text":"abc"}'),
        (3, b'{"text":"abc","length":3}'),
    ],
)
def test_older_data_is_upcast_step_by_step(three_versions: Registry, version: int, data: bytes) -> None:
    event = three_versions.validate("text/said", version, data)

    assert event.event_version == 3
    assert event.model_dump() == {"text": "abc", "length": 3}


def test_an_actor_may_still_hear_an_older_version(three_versions: Registry) -> None:
    event = three_versions.validate("text.said", 1, b'{"old_text":"abc"}', wanted=2)

    assert (event.event_version, event.model_dump()) == (2, {"text": "abc"})


def test_a_version_above_the_known_is_refused(three_versions: Registry) -> None:
    with pytest.raises(UnknownVersion, match="version 4 does not lead to version 3"):
        three_versions.validate("text.said", 4, b"{}")
    with pytest.raises(UnknownVersion, match="no version 9"):
        three_versions.find("text.said", 9)


def test_older_data_without_upcasters_is_read_as_what_it_is(fresh: Registry) -> None:
    first = declare("page.told")
    declare("page.told", 2, "ToldAgain")

    assert type(fresh.validate("page.told", 1, b'{"text":"x"}')) is first


def test_a_version_nobody_knows_any_more_is_refused(fresh: Registry) -> None:
    declare("page.told", 2)

    with pytest.raises(UnknownVersion, match="upcaster"):
        fresh.validate("page.told", 1, b'{"text":"x"}')


def test_an_upcaster_outlives_the_class_it_came_from(fresh: Registry) -> None:
    newer = declare("page.told", 2)

    @fresh.upcaster(newer, from_version=1)
    def rename(data: JsonObject) -> JsonObject:
        return {"text": data["words"]}

    assert fresh.validate("page.told", 1, b'{"words":"x"}').model_dump() == {"text": "x"}
    with pytest.raises(InvalidPayload, match=r"upcaster rename failed \(KeyError\)"):
        fresh.validate("page.told", 1, b'{"secret":"x"}')


def test_upcasters_that_contradict_each_other_are_refused(fresh: Registry) -> None:
    newer = declare("page.told", 2)

    @fresh.upcaster(newer, from_version=1)
    def one(data: JsonObject) -> JsonObject:
        return data

    with pytest.raises(DeclarationError, match="already upcasts"):

        @fresh.upcaster(newer, from_version=1)
        def two(data: JsonObject) -> JsonObject:
            return data

    with pytest.raises(DeclarationError, match="is not below 2"):
        fresh.upcaster(newer, from_version=2)(one)


@pytest.fixture
def scanned(fresh: Registry) -> Registry:
    class Scanned(Event, type="page.scanned"):
        page_id: UUID
        user_id: str
        counts: tuple[int, ...] = ()

    return fresh


@pytest.mark.parametrize(
    ("data", "field", "rule"),
    [
        (b'{"page_id":"hunter2","user_id":"u"}', "page_id", "valid UUID"),
        (b'{"page_id":"%s"}', "user_id", "required"),
        (b'{"page_id":"%s","user_id":7}', "user_id", "valid string"),
        (b'{"page_id":"%s","user_id":"u","counts":[1,"hunter2"]}', "counts.1", "valid integer"),
        (b'{"page_id":"%s","user_id":"u","counts":[1,9223372036854775808]}', "counts.1", "64 bits"),
        (b'{"page_id":"%s","user_id":"hunter2\\u0000"}', "user_id", "NUL"),
        (b'{"page_id":"%s","user_id":"u","ignored":{"x":["\\u0000"]}}', "ignored.x.0", "NUL"),
        (b'{"page_id":"%s","user_id":"u","ignored":"\\ud800"}', "ignored", "surrogate"),
        (b'{"page_id":"%s","user_id":"u","ignored":NaN}', "ignored", "finite"),
        (b'{"page_id":"%s","user_id":"u","ignored":[-Infinity]}', "ignored.0", "finite"),
        (b'{"page_id":"%s","user_id":"\xff"}', "data", "JSON"),
        (b'{"page_id":"%s","user_id":', "data", "JSON"),
        (b"[]", "data", "object"),
        (b"", "data", "JSON"),
    ],
)
def test_invalid_data_is_refused_naming_the_field_and_no_value(
    scanned: Registry, data: bytes, field: str, rule: str
) -> None:
    with pytest.raises(InvalidPayload, match=rule) as caught:
        scanned.validate("page.scanned", 1, data.replace(b"%s", str(uuid4()).encode()))

    assert caught.value.fields == (field,)
    assert field in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_field_at_fault_is_named_but_a_message_stays_short(scanned: Registry) -> None:
    with pytest.raises(InvalidPayload) as caught:
        scanned.validate("page.scanned", 1, b'{"counts":[%s]}' % b",".join([b'"x"'] * 5000))

    assert caught.value.fields[:3] == ("page_id", "user_id", "counts.0")
    assert "and 4982 more" in str(caught.value)
    assert len(str(caught.value)) < 4000


def test_a_validator_of_an_author_cannot_leak_what_it_saw(fresh: Registry) -> None:
    class Told(Event, type="page.told"):
        text: str

        @field_validator("text")
        @classmethod
        def short(cls, value: str) -> str:
            raise ValueError(f"{value} is wrong")

    with pytest.raises(InvalidPayload) as caught:
        fresh.validate("page.told", 1, b'{"text":"hunter2"}')

    assert str(caught.value) == "page.told version 1: text: does not satisfy the rule 'value_error'"


@given(secret=st.text(min_size=4).filter(lambda text: text.strip() == text))
def test_no_value_of_a_payload_reaches_an_error_text(secret: str) -> None:
    with isolated() as registry:

        class Strict(Event, type="strict.told"):
            id: UUID
            count: int
            kind: Literal["aQ", "bQ"]

        marked = f"~{secret}~"
        with pytest.raises(InvalidPayload) as caught:
            registry.validate(
                "strict.told", 1, json.dumps({"id": marked, "count": marked, "kind": marked}).encode()
            )

    assert marked not in str(caught.value)
