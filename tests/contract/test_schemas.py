"""JSON Schemas: sound, current, and compared so that nothing but additions passes."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ops.contract.compatibility import breaks
from ops.contract.jsonschemas import read, schema_of
from schemas import Event, Part, isolated
from schemas.orders import OrderPaid
from tests.ops.conftest import Cli, cli
from tests.support.runner import HOUSE

__all__ = ["cli"]

PUBLISHED = HOUSE / "ops/contract/published"


def test_each_published_schema_is_sound_and_takes_what_its_model_takes() -> None:
    found = read(PUBLISHED)
    assert "order.paid.v1" in found
    for schema in found.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    wish = {"recipient_name": "Ada", "occasion": "birthday", "genre": "folk", "mood": "happy"}
    event = {
        "order_id": "11111111-2222-4333-8444-555555555555",
        "stripe_session_id": "cs_1",
        "customization": wish,
    }
    validator = jsonschema.Draft202012Validator(found["order.paid.v1"])
    validator.validate(event)
    validator.validate(json.loads(OrderPaid.model_validate(event).model_dump_json()))
    assert not validator.is_valid({**event, "order_id": None})


def schemas() -> dict[str, Any]:
    with isolated():

        class Line(Part):
            sku: str
            count: int = 1

        class Ordered(Event, type="ordered"):
            id: int
            note: str | None = None
            lines: tuple[Line, ...] = ()

        return {"ordered.v1": schema_of(Ordered)}


def changed(path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(schemas())
    at: Any = found["ordered.v1"]
    *way, last = path.split("/")
    for part in way:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return found


ADDITIONS = [
    ("properties/extra", {"type": "string"}),
    ("$defs/Line/properties/extra", {"type": "string"}),
    ("title", "Another title"),
    ("properties/note/default", "nothing"),
]
BREAKS = [
    ("properties/note", None, "note: is gone"),
    ("properties/id/type", "string", "id: `type` was 'integer' and is 'string'"),
    ("required", ["id", "note"], "note: must be there now"),
    ("required", [], "id: need not be there any more"),
    ("properties/id/maximum", 10, "id: `maximum` was not there and is 10"),
    ("properties/note/anyOf", [{"type": "string"}], "note: has other kinds of values"),
    ("$defs/Line/properties/sku/type", "integer", "lines.[].sku: `type` was 'string'"),
    ("$defs/Line/required", ["sku", "count"], "lines.[].count: must be there now"),
]


@pytest.mark.parametrize(("path", "value"), ADDITIONS)
def test_additions_pass(path: str, value: Any) -> None:
    assert breaks(schemas(), changed(path, value)) == []


@pytest.mark.parametrize(("path", "value", "told"), BREAKS)
def test_everything_else_is_a_break_named_by_its_path(path: str, value: Any, told: str) -> None:
    found = [str(each) for each in breaks(schemas(), changed(path, value))]
    assert len(found) == 1 and found[0].startswith(f"ordered.v1: {told}")


def test_an_event_that_is_gone_is_a_break_and_a_new_one_is_none() -> None:
    assert [str(each) for each in breaks(schemas(), {})] == [
        "ordered.v1: is gone: keep its class, as long as anybody may publish it"
    ]
    assert breaks({}, schemas()) == []


def test_the_gate_refuses_what_is_not_published_until_it_is_accepted(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "published")
    fresh = cli("contract", "check", "--against", folder)
    assert fresh.exit_code == 1 and "--accept" in fresh.stderr and "curtain.held.v1" in fresh.stderr
    assert cli("contract", "check", "--against", folder, "--accept").exit_code == 0
    assert "as published" in cli("contract", "check", "--against", folder).stdout
    path = tmp_path / "published" / "curtain.held.v1.json"
    path.write_text(path.read_text().replace('"folder"', '"place"'))
    broken = cli("contract", "check", "--against", folder)
    assert broken.exit_code == 1
    assert "curtain.held.v1: place: is gone" in broken.stderr and "version=2" in broken.stderr
    assert cli("contract", "check", "--against", folder, "--accept").exit_code == 1


def test_the_page_of_all_events_is_current(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.delenv("CALLBOARD_APPS")
    assert cli("contract", "page").stdout == (HOUSE / "ops/docs/events.md").read_text()
    assert cli("contract", "check", "--against", str(PUBLISHED)).exit_code == 0
