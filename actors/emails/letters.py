"""What letters say: a template in text and one in HTML for each kind, in `templates/`."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from actors.emails.mail import Letter
from actors.emails.settings import EmailsSettings

TEMPLATES = Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {"money": money}
    made.filters.update(filters)
    return made


def written(
    kind: str, key: str, recipient: str, subject: str, settings: EmailsSettings, facts: dict[str, object]
) -> Letter:
    """Both forms of a letter. In HTML every fact is escaped; raises jinja2's UndefinedError for one that is missing."""
    told = {"store": settings.store, "subject": subject, **facts}
    text, html = (_environment().get_template(f"{kind}.{form}").render(told) for form in ("txt", "html"))
    return Letter(key, f'"{settings.store}" <{settings.sender}>', recipient, subject, text, html)


def money(cents: int, currency: str) -> str:
    """`1234, "EUR"` → `12.34 EUR`"""
    return f"{cents // 100}.{cents % 100:02} {currency}"
