"""Sending through a service over HTTP: one POST of JSON, with an Idempotency-Key.

POST {url}   {"from", "to": [...], "subject", "text", "html", "headers": {"Message-ID": ...}}   →   2xx {"id": "..."}
"""

from dataclasses import dataclass
from datetime import timedelta

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from actors.emails.errors import MailBusyError, MailRefusedError, MailUnavailableError
from actors.emails.mail import Letter


class Taken(BaseModel):
    """What the service answers."""

    id: str = Field(min_length=1, max_length=998)


@dataclass(frozen=True)
class HttpApi:
    """The key makes every try of a letter the same request: it is sent once, whatever crashes in between."""

    url: str
    api_key: SecretStr
    timeout: timedelta
    name: str = "http"

    def send(self, letter: Letter) -> str:
        headers = {"idempotency-key": letter.key}
        if key := self.api_key.get_secret_value():
            headers["authorization"] = f"Bearer {key}"
        try:
            response = httpx.post(
                self.url,
                json=_body(letter),
                headers=headers,
                timeout=self.timeout.total_seconds(),
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise MailUnavailableError(f"the mail service gave no answer ({type(error).__name__})") from None
        _check_status(response)
        try:
            return Taken.model_validate_json(response.content).id
        except ValidationError:
            # It was taken, and the same key gets the same answer: asking again would not make it better.
            return letter.message_id


def _body(letter: Letter) -> dict[str, object]:
    return {
        "from": letter.sender,
        "to": [letter.recipient],
        "subject": letter.subject,
        "text": letter.text,
        "html": letter.html,
        "headers": {"Message-ID": letter.message_id},
    }


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 429:
        raise MailBusyError("the mail service asks for fewer messages", response.headers.get("retry-after"))
    if status in (408, 409, 425) or status >= 500:
        raise MailUnavailableError(f"the mail service answered {status}")
    if status >= 300:
        raise MailRefusedError(f"the mail service refused the message with {status}")
