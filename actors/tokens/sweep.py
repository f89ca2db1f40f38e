"""Find tokens that are about to expire, before somebody needs them."""

from actors.tokens import providers, store
from broker import Run, actor
from schemas.tokens import TokenRefreshNeeded, TokenSweepDue

MOST = 1_000
"""A sweep; the next one finds the others."""


@actor(title="Find Expiring Tokens")
def sweep(event: TokenSweepDue, run: Run) -> list[TokenRefreshNeeded]:
    """It refreshes nothing: it says whose token is needed."""
    del event
    due = run.step("find", store.expiring, providers.settings().fresh_for, MOST, transactional=True)
    return [TokenRefreshNeeded(shop_id=shop_id, provider=provider) for shop_id, provider in due]
