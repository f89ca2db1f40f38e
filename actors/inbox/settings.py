"""The settings of the inbox domain, read from `CALLBOARD_INBOX_*`. Nothing needs to be set."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class InboxSettings(EnvironmentSettings):
    """When numbers are recomputed."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_INBOX_")

    quiet: timedelta = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """A client's changes are one recompute once there is none for so long. Read at import, as are the next four."""
    longest_wait: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """A client that changes all the time is recomputed so often."""
    recomputes_at_once: int = Field(default=4, ge=1)
    """Over all processes."""
    refreshes_at_once: int = Field(default=2, ge=1)
    """Of aggregates, over all processes."""
    same_request: timedelta = Field(default=timedelta(hours=1), gt=timedelta(0))
    """For how long the same client and request ask for the same recompute."""
    forgotten_after: timedelta = Field(default=timedelta(minutes=5), gt=timedelta(0))
    """A client that is dirty for so long is found by the sweep, whoever lost its event."""
    analytics: bool = False
    """Refresh aggregates whenever it is asked for; else when they are older than `analytics_slo`."""
    analytics_slo: timedelta = Field(default=timedelta(hours=1), gt=timedelta(0))
    """How old aggregates may be."""
    evented: bool = False
    """Whether `background.process.requested` is published (answer 202) instead of done at once (200)."""
