"""Sending through a mail server (RFC 5321): one session a message."""

import smtplib
import ssl
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from actors.emails.errors import MailError, MailRefusedError, MailUnavailableError
from actors.emails.mail import Letter


@dataclass(frozen=True)
class Smtp:
    """SMTP has no keys: a crash between the server's answer and our commit sends a second copy, with the same Message-ID."""

    host: str
    port: int
    starttls: bool
    user: str
    password: SecretStr
    timeout: timedelta
    name: str = "smtp"

    def send(self, letter: Letter) -> str:
        try:
            with smtplib.SMTP(self.host, self.port, timeout=self.timeout.total_seconds()) as session:
                if self.starttls:
                    session.starttls(context=ssl.create_default_context())
                if self.user:
                    session.login(self.user, self.password.get_secret_value())
                session.send_message(letter.mime())
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise _refusal(code, "the recipient") from None
        except smtplib.SMTPAuthenticationError as error:
            raise MailRefusedError(
                f"the mail server refused our credentials with {error.smtp_code}: check CALLBOARD_EMAILS_SMTP_USER and "
                "CALLBOARD_EMAILS_SMTP_PASSWORD, then replay this event"
            ) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, "the message") from None
        except smtplib.SMTPNotSupportedError as error:
            raise MailRefusedError(f"the mail server cannot take this message: {error}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnavailableError(
                f"the mail server {self.host}:{self.port} gave no answer ({type(error).__name__})"
            ) from None
        return letter.message_id


def _refusal(code: int, what: str) -> MailError:
    """Not chained, and without the server's words: they quote the address."""
    if code >= 500:
        return MailRefusedError(f"the mail server refused {what} with {code}")
    return MailUnavailableError(f"the mail server put off {what} with {code}")
