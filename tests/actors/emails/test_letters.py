"""What letters say, and whose they are."""

from email.message import EmailMessage

import pytest
from pydantic import ValidationError

from actors.emails.letters import written
from actors.emails.mail import Letter
from actors.emails.settings import EmailsSettings
from schemas.emails import EmailWelcome
from tests.actors.emails.conftest import purchase

SETTINGS = EmailsSettings()


def confirmation(name: str = "Ada") -> Letter:
    facts: dict[str, object] = {
        **purchase("o-1", name).model_dump(),
        "total_cents": purchase("o-1").total_cents,
    }
    return written(
        "purchase_confirmation", "run:0:send", "ada@example.com", "Your order o-1", SETTINGS, facts
    )


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_a_letter_is_text_and_html_of_the_same_facts() -> None:
    message = confirmation().mime()
    assert (
        message["From"] == '"The Store" <store@example.com>'
        or message["From"] == "The Store <store@example.com>"
    )
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Your order o-1")
    for kind in ("plain", "html"):
        told = part(message, kind)
        for fact in ("o-1", "Ada", "Blue Vase", "25.00 EUR", "3.05 EUR", "28.05 EUR", "The Store"):
            assert fact in told, (kind, fact)


def test_a_name_is_no_markup() -> None:
    message = confirmation('<script>alert("x")</script>').mime()
    assert "<script>" not in part(message, "html")
    assert "&lt;script&gt;" in part(message, "html")
    assert "<script>" in part(message, "plain")


def test_its_id_is_the_same_for_every_try_and_another_for_another_letter() -> None:
    first, again = confirmation(), confirmation()
    other = Letter("run:1:send", first.sender, first.recipient, first.subject, first.text, first.html)
    assert first.message_id == again.message_id != other.message_id
    assert first.message_id.endswith("@example.com>")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a@b, c@d",
        "ada@example.com\r\nBcc: eve@example.com",
        "<ada@example.com>",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        EmailWelcome(user_id="u", email=address)
