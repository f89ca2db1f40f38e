"""What the tokens domain keeps: one token a shop and provider.

Statements run with the engine's schema in the search path, where `clock()` is; our table is named with its schema.
"""

from dataclasses import dataclass
from datetime import timedelta

from psycopg import Connection
from pydantic import SecretStr

from actors.tokens.oauth import Grant
from broker import NonRetriable
from schemas.tokens import TokenRefreshNeeded

_LOCK = """
select refresh_token, expires_at > clock() + %(fresh_for)s as fresh
from tokens.token
where shop_id = %(shop_id)s and provider = %(provider)s
for update"""

_RENEW = """
update tokens.token
set access_token = %(access_token)s, refresh_token = coalesce(%(refresh_token)s, refresh_token),
    expires_at = clock() + %(lives)s, refreshed_at = clock(), refused_at = null
where shop_id = %(shop_id)s and provider = %(provider)s"""

REFUSED = """
update tokens.token set refused_at = clock() where shop_id = %(shop_id)s and provider = %(provider)s and refused_at is null"""

_EXPIRING = """
select shop_id, provider from tokens.token
where expires_at <= clock() + %s and refused_at is null order by expires_at limit %s"""


@dataclass(frozen=True, slots=True)
class Held:
    """A token whose row we hold until the transaction ends."""

    refresh_token: SecretStr
    fresh: bool


def hold(db: Connection, event: TokenRefreshNeeded, fresh_for: timedelta) -> Held:
    """Lock the shop's token: who waits here sees what the one before wrote. Raises NonRetriable when there is none."""
    row = db.execute(_LOCK, {**event.model_dump(), "fresh_for": fresh_for}).fetchone()
    if row is None:
        raise NonRetriable(f"shop {event.shop_id} has no token of {event.provider}: have it install the app")
    return Held(SecretStr(row[0]), bool(row[1]))


def expiring(db: Connection, within: timedelta, most: int) -> list[tuple[str, str]]:
    """Shop and provider of tokens that are not fresh, the most urgent first."""
    return [(shop_id, provider) for shop_id, provider in db.execute(_EXPIRING, (within, most)).fetchall()]


def renew(db: Connection, event: TokenRefreshNeeded, grant: Grant) -> None:
    """Keep what the provider gave."""
    rotated = grant.refresh_token
    db.execute(
        _RENEW,
        {
            "shop_id": event.shop_id,
            "provider": event.provider,
            "access_token": grant.access_token.get_secret_value(),
            "refresh_token": rotated.get_secret_value() if rotated else None,
            "lives": timedelta(seconds=grant.expires_in),
        },
    )
