"""Letters over a real mail server and a real service: sent once, put off, refused, and logged."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from actors.emails import providers, store
from actors.emails.checkout import purchased
from broker.dead_letters import replay
from broker.reopen import Again
from broker.testing import Stage
from ops.boot import App
from ops.evidence import look
from ops.explain import explain
from ops.explain_run import Finding
from schemas.emails import EmailPurchaseConfirmation, EmailRefundNotification, EmailRetryDue, EmailWelcome
from schemas.people import PersonErasureRequested
from tests.actors.emails.conftest import ACTORS, log, place, purchase
from tests.support.post_office import PostOffice
from tests.support.web import Call, Web

Answer = Callable[[Call], None]
LETTERS = int(os.environ.get("CALLBOARD_TEST_LETTERS", "150"))
CONFIRM = EmailPurchaseConfirmation(order_id="o-1", customer_email="ada@example.com")


def pass_time(play: Stage, *seconds: float) -> None:
    for each in seconds:
        play.drain()
        play.clock.advance(timedelta(seconds=each))
    play.drain()


def test_a_purchase_is_confirmed_and_fulfilled(theatre: Stage, office: PostOffice) -> None:
    place(theatre, purchase("o-1"))
    theatre.publish(CONFIRM)
    theatre.drain()
    [letter] = office.letters
    assert (letter["To"], letter["Subject"]) == ("ada@example.com", "Your order o-1")
    assert log(theatre) == [("o-1", "sent", "smtp", True, "")]
    assert theatre.rows("select message_id from emails.email_log") == [(letter["Message-ID"],)]
    assert theatre.rows("select status, fulfilled_at is not null from emails.purchase") == [
        ("fulfilled", True)
    ]


def test_a_refund_is_told_with_its_reason_and_marked(theatre: Stage, office: PostOffice) -> None:
    place(theatre, purchase("o-1"))
    theatre.publish(
        EmailRefundNotification(order_id="o-1", customer_email="ada@example.com", refund_reason="broken")
    )
    theatre.drain()
    [letter] = office.letters
    assert "Reason: broken" in letter.as_string()
    assert theatre.rows("select status, refunded_at is not null from emails.purchase") == [("refunded", True)]


def test_a_new_user_is_welcomed(theatre: Stage, office: PostOffice) -> None:
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com", name="Ada"))
    theatre.drain()
    assert office.letters[0]["Subject"] == "Welcome to The Store"
    assert log(theatre) == [("u-1", "sent", "smtp", True, "")]


def test_without_a_server_the_letter_lies_in_the_mailbox(
    theatre: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_EMAILS_MAILBOX", str(tmp_path / "mail"))
    providers.forget()
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
    theatre.drain()
    providers.forget()
    [letter] = (tmp_path / "mail" / "new").iterdir()
    assert "To: ada@example.com" in letter.read_text()
    assert log(theatre) == [("u-1", "sent", "folder", True, "")]


def test_what_is_put_off_is_tried_after_exactly_one_two_and_four_seconds(
    theatre: Stage, office: PostOffice
) -> None:
    place(theatre, purchase("o-1"))
    office.answers = ["451 later", "451 later", "451 later"]
    theatre.publish(CONFIRM)
    pass_time(theatre, 1.1, 2.1, 4.1)
    assert office.recipients == ["ada@example.com"]
    assert log(theatre) == [("o-1", "sent", "smtp", True, "")]
    delays = theatre.rows("select extract(epoch from delay)::float from attempt order by attempt")
    assert delays == [(1.0,), (2.0,), (4.0,)]
    assert theatre.rows(
        "select attempt from run where status = 'completed' and actor like '%%confirm%%'"
    ) == [(4,)]


def test_after_the_last_try_the_log_says_why(theatre: Stage, office: PostOffice) -> None:
    office.answers = ["451 later ada@example.com"] * 3
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
    pass_time(theatre, 1.1, 3)
    [(about, status, _, _, error)] = log(theatre)
    assert (about, status, len(office.answers)) == ("u-1", "failed", 1), "one retry, then no more"
    assert "put off the message with 451" in error and "ada" not in error


def test_what_was_given_up_is_tried_again_later_by_a_rule(theatre: Stage, office: PostOffice) -> None:
    """An hour after it was given up, three times; what was refused for ever is left alone, as is what a person replayed."""
    office.refused["bob@example.com"] = "550 no"
    for name in ("ada", "bob"):
        theatre.publish(EmailWelcome(user_id=name, email=f"{name}@example.com"))
    state = "select status from emails.email_log where about = 'ada'"
    office.answers = ["451 later"] * 8

    def look(*seconds: float) -> tuple[int, str]:
        """After so long: how many letters it tries again, and what becomes of ada's."""
        pass_time(theatre, *seconds)
        theatre.publish(EmailRetryDue())
        pass_time(theatre, 1.1, 3)
        tried = "select (result ->> 'letters')::int from run where actor = 'emails.try_again' order by created_at desc limit 1"
        return theatre.rows(tried)[0][0], theatre.rows(state)[0][0]

    assert look(1.1, 3, 60) == (0, "failed"), "it is too early"
    assert [look(3_601) for _ in range(3)] == [(1, "failed")] * 3
    assert look(3_601) == (0, "failed"), "three times are enough"
    [letter] = theatre.rows(
        "select id from dead_letter where settled_at is null and actor = 'emails.welcome' and rerun = 3"
    )
    with theatre.database.once("test") as connection:
        replay(connection, [letter[0]], Again(by="ada"))
    theatre.drain()
    assert log(theatre) == [
        ("ada", "sent", "smtp", True, ""),
        (
            "bob",
            "failed",
            None,
            False,
            "not retriable: NonRetriable: the mail server refused the recipient with 550",
        ),
    ]
    assert theatre.rows(
        "select distinct settled_by from dead_letter where settled_at is not null order by 1"
    ) == [
        ("ada",),
        ("emails.try_again",),
    ]


def test_a_refused_recipient_is_final(theatre: Stage, office: PostOffice) -> None:
    office.refused = {"gone@example.com": "550 no such user gone@example.com"}
    theatre.publish(EmailWelcome(user_id="u-1", email="gone@example.com"))
    theatre.drain()
    [(_, status, _, _, error)] = log(theatre)
    assert status == "failed" and "refused the recipient with 550" in error and "gone@" not in error
    assert theatre.rows("select attempts from dead_letter") and office.letters == []


def test_why_names_the_row_of_the_letter(theatre: Stage, office: PostOffice) -> None:
    office.refused["bob@example.com"] = "550 no bob@example.com here"
    app = App(actors=ACTORS, ledgers=(store.LEDGER,))
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com"), id="sent")
    theatre.publish(EmailWelcome(user_id="u-2", email="bob@example.com"), id="refused")
    theatre.drain()

    told: dict[str, Finding] = {}
    with theatre.database.once("test") as connection:
        for event in ("sent", "refused"):
            findings = explain(look(connection, theatre.settings, app, event))
            told[event] = next(found for found in findings if found.subject == "row of emails.email_log")
        connection.execute("drop table emails.email_log")
        left = explain(look(connection, theatre.settings, app, "sent"))
    assert told["sent"].state == "sent"
    assert told["sent"].why.startswith("kind welcome, provider smtp, message_id <")
    assert told["refused"].state == "failed"
    assert "refused the recipient with 550" in told["refused"].why
    assert "bob" not in str(told)
    assert [found.state for found in left] == ["completed"]


def test_a_letter_for_an_order_that_is_not_there_is_failed_at_once(
    theatre: Stage, office: PostOffice
) -> None:
    theatre.publish(CONFIRM)
    theatre.drain()
    [(about, status, _, _, error)] = log(theatre)
    assert (about, status) == ("o-1", "failed") and "place it before" in error
    assert office.letters == []


def test_the_same_order_is_placed_and_confirmed_once_in_the_callers_transaction(
    theatre: Stage, office: PostOffice
) -> None:
    with theatre.database.once("web") as connection:
        for _ in range(3):
            with connection.transaction():
                purchased(connection, theatre.publisher, purchase("o-1"), "ada@example.com")
    theatre.drain()
    assert office.recipients == ["ada@example.com"]


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)

    def answer(call: Call) -> None:
        left.pop(0)(call)

    return answer


def answer_ids(call: Call) -> None:
    call.answer(200, json.dumps({"id": "m-1"}), content_type="application/json")


def test_a_service_is_asked_with_the_letters_key(theatre: Stage, service: Web) -> None:
    service.routes["/send"] = in_turn(
        lambda call: call.answer(429, retry_after="30"), lambda call: call.answer(500), answer_ids
    )
    place(theatre, purchase("o-1"))
    theatre.publish(CONFIRM)
    pass_time(theatre, 20, 11, 3)
    assert len(service.requests) == 3
    keys = {request.headers["idempotency-key"] for request in service.requests}
    assert len(keys) == 1 and keys.pop().endswith(":send")
    assert {request.headers["authorization"] for request in service.requests} == {"Bearer key-1"}
    assert theatre.rows("select status, message_id from emails.email_log") == [("sent", "m-1")]


def test_a_bad_request_to_a_service_is_final(theatre: Stage, service: Web) -> None:
    service.routes["/send"] = lambda call: call.answer(400, "ada@example.com is no address")
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
    pass_time(theatre, 60)
    assert len(service.requests) == 1
    assert log(theatre)[0][1] == "failed"


def cut_off(call: Call) -> None:
    call.send_response(200)
    call.send_header("Content-Length", "100")
    call.end_headers()
    call.wfile.write(b'{"id": "m')
    call.close_connection = True


def test_an_answer_that_is_cut_off_is_asked_for_again_with_the_same_key(theatre: Stage, service: Web) -> None:
    service.routes["/send"] = in_turn(cut_off, answer_ids)
    theatre.publish(EmailWelcome(user_id="u-1", email="ada@example.com"))
    pass_time(theatre, 2)
    assert len({request.headers["idempotency-key"] for request in service.requests}) == 1
    assert log(theatre) == [("u-1", "sent", "http", True, "")]


def test_every_confirmation_ends_once_though_the_server_is_slow_and_refuses_some(
    theatre: Stage, office: PostOffice
) -> None:
    """Two domains, the throttle of each, one in ten put off once, one in twenty refused for ever."""
    office.slow_seconds = 0.002
    addresses = [f"c{n}@{'one' if n % 2 else 'two'}.example" for n in range(LETTERS)]
    office.refused = dict.fromkeys(addresses[::20], "550 gone")
    office.answers = [("451 later" if n % 10 == 0 else "250 OK") for n in range(LETTERS)]
    place(theatre, *(purchase(f"o-{n}") for n in range(LETTERS)))
    theatre.publisher.publish_many(
        [
            EmailPurchaseConfirmation(order_id=f"o-{n}", customer_email=address)
            for n, address in enumerate(addresses)
        ]
    )
    theatre.drain(timedelta(seconds=60))
    assert len(office.letters) < LETTERS, "the throttle lets a burst through at once, and no more"
    for _ in range(LETTERS):
        if theatre.rows("select count(*) from run where finished_at is null") == [(0,)]:
            break
        theatre.clock.advance(timedelta(seconds=10))
        theatre.drain(timedelta(seconds=60))
    refused = set(addresses[::20])
    assert office.recipients == sorted(set(addresses) - refused)
    assert theatre.rows("select status, count(*) from emails.email_log group by 1 order by 1") == [
        ("failed", len(refused)),
        ("sent", LETTERS - len(refused)),
    ]
    assert theatre.rows("select count(*) from emails.purchase where status = 'fulfilled'") == [
        (LETTERS - len(refused),)
    ]


def test_who_is_erased_stands_in_no_row_and_the_books_stay_right(theatre: Stage, office: PostOffice) -> None:
    place(theatre, purchase("o-1"))
    theatre.publish(CONFIRM)
    theatre.publish(EmailWelcome(user_id="u-1", email="ben@example.com"))
    theatre.drain()
    theatre.publish(PersonErasureRequested(person_id="ada@example.com"))
    theatre.drain()

    kept = str(
        theatre.rows("select l::text from emails.email_log l")
        + theatre.rows("select p::text from emails.purchase p")
    )
    assert "ada" not in kept.lower()
    assert "ben@example.com" in kept
    assert theatre.rows("select sum(price_cents * quantity) from emails.purchase_item") == [(2805,)]
    assert theatre.rows("select count(*) from emails.email_log where status = 'sent'") == [(2,)]
