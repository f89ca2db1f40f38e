"""Marks: what is hidden of an event, wherever it stands, and nothing else."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, Field

from schemas import PERSONAL, SECRET, SUBJECT, Event, Part, isolated
from schemas.marks import HIDDEN, is_marked, marked_texts, masked, subject_fields

with isolated():

    class Card(Part):
        card_number: Annotated[str, SECRET]
        kind: str = "credit"

    class Guest(Part):
        guest_name: Annotated[str, Field(max_length=80), PERSONAL]
        cards: tuple[Card, ...] = ()
        friends: "tuple[Guest, ...]" = ()

    class GuestArrived(Event, type="guest.arrived"):
        guest_id: Annotated[str, SUBJECT]
        guest: Guest
        nicknames: tuple[Annotated[str, PERSONAL], ...] = ()
        wishes: Annotated[dict[str, Any] | None, PERSONAL] = None
        story: Annotated[str, PERSONAL, Field(validation_alias=AliasChoices("story", "tale"))] = ""
        room: int = 0

    class RoomCleaned(Event, type="room.cleaned"):
        room: int


def arrived(**more: Any) -> GuestArrived:
    guest = Guest(
        guest_name="Ada Lovelace",
        cards=(Card(card_number="4242-4242"),),
        friends=(Guest(guest_name="Babbage"),),
    )
    return GuestArrived(guest_id="g-1", guest=guest, **more)


def test_values_are_found_wherever_they_stand_the_longest_first() -> None:
    event = arrived(nicknames=["Countess", "Al"], wishes={"pillow": "of down", "late": True, "floor": 12345})

    assert marked_texts(event) == ("Ada Lovelace", "4242-4242", "Countess", "Babbage", "of down", "12345")


def test_an_event_without_marks_costs_nothing_and_hides_nothing() -> None:
    assert not is_marked(RoomCleaned)
    assert is_marked(GuestArrived)
    assert marked_texts(RoomCleaned(room=1234567)) == ()


def test_a_payload_is_masked_under_each_name_that_it_is_taken_under() -> None:
    assert masked(GuestArrived, {"tale": "long ago", "room": 1}) == {"tale": HIDDEN, "room": 1}


@pytest.mark.parametrize("by_alias", [False, True])
def test_a_payload_is_masked_in_either_spelling(by_alias: bool) -> None:
    payload = arrived(nicknames=["Countess"]).model_dump(mode="json", by_alias=by_alias)

    shown = masked(GuestArrived, {**payload, "unknown": 1})

    name = "guestName" if by_alias else "guest_name"
    number = "cardNumber" if by_alias else "card_number"
    assert shown["guest"][name] == HIDDEN
    assert shown["guest"]["cards"] == [{number: HIDDEN, "kind": "credit"}]
    assert shown["guest"]["friends"][0][name] == HIDDEN
    assert (shown["nicknames"], shown["wishes"], shown["unknown"]) == (HIDDEN, None, 1)
    assert shown["guestId" if by_alias else "guest_id"] == "g-1"


def test_a_payload_that_does_not_fit_is_masked_as_far_as_it_goes() -> None:
    assert masked(GuestArrived, {"guest": [{"guest_name": 7}, "x"], "room": "y", "wishes": [1]}) == {
        "guest": [{"guest_name": HIDDEN}, "x"],
        "room": "y",
        "wishes": HIDDEN,
    }


@given(st.dictionaries(st.sampled_from(["guest_name", "guestName", "cards", "friends"]), st.text(min_size=1)))
def test_whatever_stands_in_a_marked_field_is_gone(payload: dict[str, str]) -> None:
    shown = masked(Guest, payload)

    assert shown.keys() == payload.keys()
    assert all(shown[name] == HIDDEN for name in shown if name.startswith("guest"))


def test_the_person_is_named_by_fields_and_schemas_say_what_is_sensitive() -> None:
    assert subject_fields(GuestArrived) == ["guest_id"]
    properties = GuestArrived.model_json_schema()["properties"]
    assert properties["guestId"]["x-subject"] is True
    assert properties["nicknames"]["items"]["x-sensitive"] == "personal"


def test_a_plain_model_may_carry_marks_too() -> None:
    class Plain(BaseModel):
        word: Annotated[str, SECRET]

    assert marked_texts(Plain(word="open sesame")) == ("open sesame",)
