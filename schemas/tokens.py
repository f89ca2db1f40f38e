"""Tokens: what is said about the keys that shops gave us for their own data."""

from typing import Annotated

from pydantic import StringConstraints

from .event import Event

ShopId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Provider = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class TokenRefreshNeeded(
    Event, type="token.refresh.needed", aliases=("token/refresh.needed", "token.refresh-needed")
):
    """A hint, not an order: a token that is still fresh stays as it is. It carries no token."""

    shop_id: ShopId
    provider: Provider


class TokenSweepDue(Event, type="token.sweep.due"):
    """It is time to look for tokens about to expire."""
