"""Refresh a shop's token: one at a time a shop, over all processes, and only when it is needed."""

from datetime import timedelta

from pydantic import BaseModel

from actors.tokens import providers, store
from actors.tokens.fail import fail
from broker import SALLA_API, Concurrency, Run, actor, judged
from schemas.tokens import TokenRefreshNeeded


class Refreshed(BaseModel):
    """`refreshed` is False where the token was fresh already."""

    refreshed: bool


@actor(
    title="Refresh Token",
    retry=SALLA_API,
    time_limit=timedelta(seconds=30),
    concurrency=Concurrency(1, key="shop_id"),
    on_failure=fail,
)
def refresh(event: TokenRefreshNeeded, run: Run) -> Refreshed:
    """No step: a step's result is kept in the journal, where a token does not belong.

    The call is made while the row is locked, since a refresh token may be good for one call only. Who waits
    for a shop waits as a row (the concurrency limit), so at most one connection a shop is held for one answer.
    """
    with run.transaction() as db:
        held = store.hold(db, event, providers.settings().fresh_for)
        if not held.fresh:
            with judged():
                store.renew(db, event, providers.token_provider().refresh(held.refresh_token))
    return Refreshed(refreshed=not held.fresh)
