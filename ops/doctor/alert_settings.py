"""The limits of `callboard alerts check`, read from `CALLBOARD_ALERT_*`. Nothing needs to be set."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class AlertSettings(EnvironmentSettings):
    """When `callboard alerts check` gives alarm."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_ALERT_")

    backlog: int = Field(default=1_000, ge=0)
    """Events and runs that wait for a worker: in queues, in the outbox past their time, due. More than these give alarm."""
    late: timedelta = Field(default=timedelta(minutes=1), gt=timedelta(0))
    """How long a run may have been due."""
    dead_letters: int = Field(default=0, ge=0)
    """Open dead letters, without events that nobody hears. More than these give alarm."""
    failure_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of failed runs among those of the last `failure_window` that have ended, once there are twenty."""
    failure_window: timedelta = Field(default=timedelta(minutes=15), gt=timedelta(0))
    """By when a run began to be known."""
