"""Who sends letters, chosen by the settings when first needed. Importing this builds nothing."""

from functools import cache

from actors.emails.folder import Folder
from actors.emails.http_api import HttpApi
from actors.emails.mail import Mailer
from actors.emails.settings import EmailsSettings
from actors.emails.smtp import Smtp
from broker import load_settings


@cache
def settings() -> EmailsSettings:
    """Read once a process; raises ConfigurationError for a setting that makes no sense."""
    return EmailsSettings.load()


@cache
def mailer() -> Mailer:
    """The service where one is configured, else the mail server, else a folder."""
    wanted = settings()
    if wanted.api_url:
        return HttpApi(wanted.api_url, wanted.api_key, wanted.answer_time)
    if wanted.smtp_host:
        return Smtp(
            wanted.smtp_host,
            wanted.smtp_port,
            wanted.smtp_starttls,
            wanted.smtp_user,
            wanted.smtp_password,
            wanted.answer_time,
        )
    return Folder(wanted.mailbox or load_settings().data / "mail")


def forget() -> None:
    """Choose again at the next use: for tests that change the settings."""
    for choice in (settings, mailer):
        choice.cache_clear()
