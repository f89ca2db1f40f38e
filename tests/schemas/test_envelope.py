"""Envelopes and ids."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from schemas import DeclarationError, Event, InvalidPayload, derived, uuid7, wrap
from schemas.notifications import NotificationSend

EVENT = NotificationSend(user_id="u1", title="Scan Complete", message="ok")


def test_an_event_begins_a_story_of_its_own() -> None:
    envelope = wrap(EVENT, source="seo")

    assert UUID(envelope.id).version == 7
    assert (envelope.type, envelope.version, envelope.source) == ("notification.send", 1, "seo")
    assert envelope.correlation_id == envelope.id
    assert envelope.causation_id is None
    assert envelope.data == b'{"user_id":"u1","title":"Scan Complete","message":"ok","type":"info"}'
    assert timedelta(0) <= datetime.now(UTC) - envelope.time < timedelta(minutes=1)


def test_an_event_that_has_a_cause_keeps_the_story() -> None:
    envelope = wrap(EVENT, source="seo", id="2", correlation_id="1", causation_id="1", subject="page-7")

    assert (envelope.id, envelope.correlation_id, envelope.causation_id) == ("2", "1", "1")
    assert envelope.subject == "page-7"


@pytest.mark.parametrize("bad", ["", "a\0", "a\nb", "x" * 256, "ü" * 128])
def test_an_id_or_source_that_is_no_key_is_refused(bad: str) -> None:
    with pytest.raises(InvalidPayload, match="source") as caught:
        wrap(EVENT, source=bad)
    assert caught.value.fields == ("source",)
    with pytest.raises(InvalidPayload, match="id"):
        wrap(EVENT, source="seo", id=bad)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="time zone"):
        wrap(EVENT, source="seo", time=datetime(2026, 1, 1))  # noqa: DTZ001


def test_an_abstract_event_cannot_be_published() -> None:
    class Abstract(Event):
        pass

    with pytest.raises(DeclarationError, match="has no type="):
        wrap(Abstract(), source="seo")


def test_new_ids_rise_and_carry_their_time() -> None:
    before = time.time_ns() // 1_000_000
    ids = [uuid7() for _ in range(10_000)]

    assert ids == sorted(set(ids))
    assert all(new.version == 7 and new.variant == "specified in RFC 4122" for new in ids)
    assert before <= ids[0].int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_new_ids_rise_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7()
    monkeypatch.setattr("schemas.ids.time.time_ns", lambda: 1)

    assert uuid7() > first


def test_derived_ids_are_the_same_for_the_same_parts_only() -> None:
    namespace = UUID(int=1)

    assert derived(namespace, namespace, 0, "a.b", 1) == UUID("abc77af5-359e-570b-a398-48301cb1bf43")
    assert derived(namespace, "ab", "c") != derived(namespace, "a", "bc")
    assert derived(namespace, "a\x1fb") != derived(namespace, "a", "b")
    assert derived(UUID(int=2), "a") != derived(namespace, "a")
