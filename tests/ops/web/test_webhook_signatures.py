"""Who is let in at a webhook's door, by signatures that openssl has made."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from broker import Secrets, StandardWebhooks
from broker.errors import SignatureError
from broker.testing import Stage
from tests.ops.web.shop import TillSettings
from tests.ops.web.till import KEY, OLDER, SALLA, STRIPE, Headers, deliver, now, stripe, stripe_event
from tests.support import signing


def changed(headers: Headers, name: str, change: Callable[[str], str]) -> Headers:
    return {**headers, name: change(headers[name])}


STRIPE_HEADER, SALLA_HEADER, STANDARD_HEADER = "stripe-signature", "x-salla-signature", "webhook-signature"

WRONG: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "stripe none": ("stripe", lambda b: {}),
    "stripe empty": ("stripe", lambda b: {STRIPE_HEADER: ""}),
    "stripe two": ("stripe", lambda b: [*signing.stripe(b, STRIPE, now()).items()] * 2),
    "stripe old": ("stripe", lambda b: signing.stripe(b, STRIPE, now() - 310)),
    "stripe future": ("stripe", lambda b: signing.stripe(b, STRIPE, now() + 310)),
    "stripe far future": ("stripe", lambda b: signing.stripe(b, STRIPE, 999_999_999_999)),
    "stripe another secret": ("stripe", lambda b: signing.stripe(b, "whsec_none", now())),
    "stripe other bytes": ("stripe", lambda b: signing.stripe(b + b" ", STRIPE, now())),
    "stripe two times": (
        "stripe",
        lambda b: changed(signing.stripe(b, STRIPE, now()), STRIPE_HEADER, lambda v: f"t={now() - 5},{v}"),
    ),
    "stripe later time": (
        "stripe",
        lambda b: changed(
            signing.stripe(b, STRIPE, now() - 400), STRIPE_HEADER, lambda v: f"t={now()},{v.split(',')[1]}"
        ),
    ),
    "stripe words": ("stripe", lambda b: {STRIPE_HEADER: "t=now,v1=yes"}),
    "stripe only v0": (
        "stripe",
        lambda b: changed(signing.stripe(b, STRIPE, now()), STRIPE_HEADER, lambda v: v.replace("v1", "v0")),
    ),
    "stripe many": ("stripe", lambda b: {STRIPE_HEADER: f"t={now()}" + ",v1=ab" * 500}),
    "stripe not ascii": ("stripe", lambda b: {STRIPE_HEADER.encode(): f"t={now()},v1=é".encode()}),
    "stripe signed as salla": ("stripe", lambda b: signing.salla(b, STRIPE)),
    "salla none": ("salla", lambda b: {}),
    "salla two": ("salla", lambda b: [*signing.salla(b, SALLA).items()] * 2),
    "salla another secret": ("salla", lambda b: signing.salla(b, "guess")),
    "salla other bytes": ("salla", lambda b: signing.salla(b"{}", SALLA)),
    "salla half": ("salla", lambda b: changed(signing.salla(b, SALLA), SALLA_HEADER, lambda v: v[:32])),
    "standard none": ("standard", lambda b: {}),
    "standard two": ("standard", lambda b: [*signing.standard(b, KEY, "m", now()).items()] * 2),
    "standard old": ("standard", lambda b: signing.standard(b, KEY, "m", now() - 310)),
    "standard future": ("standard", lambda b: signing.standard(b, KEY, "m", now() + 310)),
    "standard another secret": ("standard", lambda b: signing.standard(b, b"x" * 32, "m", now())),
    "standard other bytes": ("standard", lambda b: signing.standard(b[1:], KEY, "m", now())),
    "standard other id": ("standard", lambda b: {**signing.standard(b, KEY, "m", now()), "webhook-id": "n"}),
    "standard asymmetric": (
        "standard",
        lambda b: changed(
            signing.standard(b, KEY, "m", now()), STANDARD_HEADER, lambda v: v.replace("v1,", "v1a,")
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_signature_is_refused_without_a_reason_and_nothing_is_kept(
    client: httpx.Client, stage: Stage, case: str
) -> None:
    source, sign = WRONG[case]
    content = stripe_event()
    headers = sign(content)
    answer = client.post(f"/webhooks/{source}", content=content, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {"error": {"type": "signature", "message": "the signature is not right"}}
    assert stage.rows("select count(*) from webhook_delivery") == [(0,)]
    assert stage.rows("select count(*) from outbox") == [(0,)]


@pytest.mark.parametrize("ago", [-290, 290])
def test_a_clock_may_differ_by_five_minutes_in_both_directions(client: httpx.Client, ago: int) -> None:
    assert stripe(client, stripe_event(), ago=ago).status_code == 202


def test_secrets_are_exchanged_without_losing_a_delivery(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = stripe_event("evt_both")
    both = signing.stripe(content, "whsec_unknown", now())[STRIPE_HEADER]
    right = signing.stripe(content, OLDER, now())[STRIPE_HEADER].split("v1=")[1]

    assert stripe(client, stripe_event("evt_newer"), STRIPE).status_code == 202
    assert stripe(client, stripe_event("evt_older"), OLDER).status_code == 202
    assert deliver(client, "stripe", content, {STRIPE_HEADER: f"{both},v1={right}"}).status_code == 202
    monkeypatch.setenv("CALLBOARD_TILL_STRIPE_SECRETS", STRIPE)
    assert stripe(client, stripe_event("evt_late"), OLDER).status_code == 401


def test_without_a_secret_the_answer_names_the_setting(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBOARD_TILL_STRIPE_SECRETS")
    unset = stripe(client, stripe_event())
    monkeypatch.setenv("CALLBOARD_TILL_STANDARD_SECRETS", "whsec_canary is no base64")
    wrong = deliver(client, "standard", b"{}", signing.standard(b"{}", KEY, "m", now()))

    for answer, name in (
        (unset, "CALLBOARD_TILL_STRIPE_SECRETS"),
        (wrong, "CALLBOARD_TILL_STANDARD_SECRETS"),
    ):
        assert answer.status_code == 503
        assert name in answer.json()["error"]["message"]
        assert "canary" not in answer.text


def test_the_example_that_the_standard_publishes_is_right_at_its_time_and_never_again() -> None:
    scheme = StandardWebhooks(Secrets(TillSettings, "standard_secrets"))
    secrets, body = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], b'{"test": 2432232314}'
    headers = {
        "webhook-id": ["msg_p5jXN8AQM9LWM0D4loKWxJek"],
        "webhook-timestamp": ["1614265330"],
        "webhook-signature": ["v1,other v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,later"],
    }
    then = datetime.fromtimestamp(1614265330, UTC)

    scheme.check(secrets, headers, body, then + timedelta(minutes=5))
    for moment in (then + timedelta(minutes=5, seconds=1), then - timedelta(minutes=5, seconds=1)):
        with pytest.raises(SignatureError, match="away from now"):
            scheme.check(secrets, headers, body, moment)
    with pytest.raises(SignatureError, match="over other bytes"):
        scheme.check(secrets, headers, body + b"\n", then)
