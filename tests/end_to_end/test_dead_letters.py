"""What could not be done is kept, says why, and can be tried again."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import PATIENCE, recommendations, scan_asked, statuses, titles
from tests.support.installation import Installation
from tests.support.stranger import cloud_event, publish_as_stranger, raw
from tests.support.waiting import eventually

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def staffed(on_either: Installation) -> Iterator[Installation]:
    with on_either.workers():
        yield on_either


def kept(callboard: Installation, count: int) -> None:
    eventually(lambda: callboard.one("select count(*) from dead_letter") == count, PATIENCE)


def test_an_event_that_nobody_hears_is_kept_and_listed(staffed: Installation) -> None:
    event_id = staffed.publish("order.failed", order_id=str(uuid4()), reason="no songs today")
    kept(staffed, 1)

    [letter] = staffed.letters("--reason", "unheard")
    assert letter["event_id"] == event_id
    assert letter["event_type"] == "order.failed"
    assert event_id in staffed.callboard("dead", "show", letter["id"])
    assert staffed.letters() == []  # nobody has to act on it


def test_what_a_stranger_gets_wrong_is_kept_with_the_field_at_fault(
    on_rabbitmq: Installation, amqp_url: str, tmp_path: Path
) -> None:
    page = {"page_id": str(uuid4()), "url": "no address", "user_id": "ada"}
    secret = "SECRET-OF-A-USER"
    messages = [
        cloud_event("page.scan.requested", page),
        cloud_event("page.scan.requested", {**page, "url": "https://example.com", "page_id": secret}),
        cloud_event("page.scan.imagined", page),
        raw("page.scan.requested", b"\xff\xfe{", {}),
        raw("page.scan.requested", b'{"page_id": 1}', {"cloudEvents_specversion": "1.0"}),
    ]
    with on_rabbitmq.workers():
        publish_as_stranger(amqp_url, messages, tmp_path)
        kept(on_rabbitmq, len(messages))

    letters = on_rabbitmq.letters("--all")
    assert sorted((letter["reason"], letter["field"]) for letter in letters) == [
        ("invalid payload", "page_id"),
        ("invalid payload", "url"),
        ("undecodable", "data"),
        ("undecodable", "id"),
        ("unknown type", "type"),
    ]
    listed = on_rabbitmq.callboard("dead", "list", "--all")
    assert secret not in listed
    for letter in letters:
        assert letter["id"] in listed
        shown = on_rabbitmq.callboard("dead", "show", letter["id"])
        assert letter["field"] in shown
        assert letter["reason"] in shown


def test_a_dead_letter_is_replayed_once_its_cause_is_gone(staffed: Installation, site: DemoSite) -> None:
    staffed.rows("update pages.prompt_template set active = false returning id")
    page_id = scan_asked(staffed, site.urls[0])
    kept(staffed, 1)
    eventually(lambda: titles(staffed) == ["Analysis Failed", "Scan Complete"], PATIENCE)
    [letter] = staffed.letters()
    assert (letter["actor"], letter["reason"]) == ("pages.analyze", "not retriable")
    assert "activate one" in letter["error"]

    staffed.rows("update pages.prompt_template set active = true where name = 'default' returning id")
    assert "replayed 1" in staffed.callboard("dead", "replay", letter["id"])

    eventually(lambda: recommendations(staffed, page_id) > 0, PATIENCE)
    eventually(lambda: titles(staffed) == ["Analysis Complete", "Analysis Failed", "Scan Complete"], PATIENCE)
    assert statuses(staffed) == {
        "pages.scan": ["completed"],
        "pages.analyze": ["completed"],
        "pages.fail": ["completed"],
        "notifications.notify": ["completed"] * 3,
    }
    assert staffed.letters("--all") == []
    assert "replayed 0" in staffed.callboard("dead", "replay", letter["id"])


def test_a_dead_letter_names_the_step_that_failed(staffed: Installation, site: DemoSite) -> None:
    staffed.rows("update pages.prompt_template set active = false returning id")
    scan_asked(staffed, site.urls[0])
    kept(staffed, 1)
    [letter] = staffed.letters()
    assert letter["step"] == "fetch-prompt"
    assert [attempt["step"] for attempt in letter["attempts"]] == ["fetch-prompt"]


def test_an_invalid_event_is_replayed_as_it_came(
    on_rabbitmq: Installation, amqp_url: str, tmp_path: Path
) -> None:
    """Nothing has changed, so it is refused again: as a letter of its own, the first one settled."""
    with on_rabbitmq.workers():
        publish_as_stranger(amqp_url, [cloud_event("page.scan.requested", {"user_id": "ada"})], tmp_path)
        kept(on_rabbitmq, 1)
        [first] = on_rabbitmq.letters()
        on_rabbitmq.callboard("dead", "replay", first["id"])
        kept(on_rabbitmq, 2)
    [second] = on_rabbitmq.letters()
    assert second["id"] != first["id"]
    assert (second["reason"], second["field"]) == ("invalid payload", "page_id, url")
    assert UUID(second["id"]).version == 7
