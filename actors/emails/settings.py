"""The settings of the emails domain, read from `CALLBOARD_EMAILS_*`. Nothing needs to be set."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings
from schemas.emails import Address


class EmailsSettings(EnvironmentSettings):
    """Who sends, and from whom."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_EMAILS_")

    store: str = Field(default="The Store", min_length=1, max_length=80, pattern=r'^[^\r\n"<>]+$')
    """Its name, as customers read it."""
    sender: Address = "store@example.com"
    """Whose letters they are; its domain has to name the server (SPF) and sign (DKIM)."""
    smtp_host: str = ""
    """A mail server. Empty, with no service either: letters go to the mailbox folder."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Its port for submission."""
    smtp_starttls: bool = True
    """Encrypt, and check the server's certificate. Off for a server on this machine only."""
    smtp_user: str = ""
    """Who logs in; empty: nobody."""
    smtp_password: SecretStr = SecretStr("")
    """The password."""
    api_url: str = ""
    """A service that sends over HTTP, as `actors/emails/http_api.py` describes it. It goes before a mail server."""
    api_key: SecretStr = SecretStr("")
    """Its key."""
    mailbox: Path | None = None
    """The maildir of letters that nobody is asked to send. None: `mail` below `CALLBOARD_DATA`."""
    retry_times: int = Field(default=3, ge=0)
    """How often a letter that was given up for want of a server is tried again by itself. 0: only a person replays it."""
    retry_after: timedelta = Field(default=timedelta(hours=1), gt=timedelta(0))
    """How long after it was given up."""
    answer_time: timedelta = Field(default=timedelta(seconds=20), gt=timedelta(0))
    """For each answer of a server or service; three of them stay below the actors' time limit."""
