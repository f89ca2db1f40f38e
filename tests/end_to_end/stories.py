"""What the demo's two pipelines are asked for, and when they have done it."""

from uuid import UUID, uuid4

from tests.support.installation import Installation
from tests.support.waiting import eventually

PATIENCE = 60.0
"""Seconds; a chain takes 0.2 s, on a machine that is shared with other tests some seconds."""

_UNFINISHED = "select count(*) from run where finished_at is null"


def scan_asked(callboard: Installation, url: str, user_id: str = "ada") -> UUID:
    """The page's id."""
    page_id = uuid4()
    callboard.publish("page.scan.requested", page_id=str(page_id), url=url, user_id=user_id)
    return page_id


def song_paid(callboard: Installation, recipient: str = "Ada") -> UUID:
    """The order's id."""
    order_id = uuid4()
    wish = {"recipient_name": recipient, "occasion": "birthday", "genre": "folk", "mood": "happy"}
    callboard.publish(
        "order.paid", order_id=str(order_id), stripe_session_id=f"pay_{order_id.hex}", customization=wish
    )
    return order_id


def scanned_and_told(callboard: Installation, page_id: UUID) -> None:
    """The page is kept, advice is saved, its user heard of both, and nothing else happened."""
    eventually(lambda: recommendations(callboard, page_id) > 0, PATIENCE)
    eventually(lambda: len(titles(callboard)) == 2 and callboard.one(_UNFINISHED) == 0, PATIENCE)
    assert callboard.one("select status from pages.page where id = %s", (page_id,)) == "completed"
    assert titles(callboard) == ["Analysis Complete", "Scan Complete"]
    assert callboard.one("select count(*) from dead_letter") == 0
    assert statuses(callboard) == {
        "pages.scan": ["completed"],
        "pages.analyze": ["completed"],
        "notifications.notify": ["completed", "completed"],
    }


def song_made(callboard: Installation, order_id: UUID) -> None:
    """The order is complete with all its variants, and nothing waits."""
    state = "select status from orders.song_order where id = %s"
    eventually(lambda: callboard.one(state, (order_id,)) == "completed", PATIENCE)
    eventually(lambda: callboard.one(_UNFINISHED) == 0, PATIENCE)
    variants = callboard.rows(
        "select number, status from orders.song_variant where order_id = %s order by number", (order_id,)
    )
    assert variants == [(1, "complete"), (2, "complete"), (3, "complete")]


def recommendations(callboard: Installation, page_id: UUID) -> int:
    return int(callboard.one("select count(*) from pages.recommendation where page_id = %s", (page_id,)))


def titles(callboard: Installation) -> list[str]:
    return [
        title for (title,) in callboard.rows("select title from notifications.notification order by title")
    ]


def statuses(callboard: Installation) -> dict[str, list[str]]:
    """By actor, without what the house's schedules may have asked for meanwhile."""
    return dict(
        callboard.rows(
            "select actor, array_agg(status order by status) from run where event_type not like '%.due' group by actor"
        )
    )
