"""Every setting of Callboard, read from `CALLBOARD_*` environment variables, as one frozen value that is passed around."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.database import Database
from broker.errors import ConfigurationError


class Settings(BaseSettings):
    """What may be set. Every field has a default that is safe in development; production sets `database_url`."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_", frozen=True, extra="ignore")

    database_url: SecretStr = SecretStr("")
    """PostgreSQL. Empty: `./ops/run` starts an embedded one."""
    database_direct_url: SecretStr | None = None
    """A DSN past any transaction pooler; needed only where `database_url` points to one."""
    broker_url: SecretStr = SecretStr("")
    """`amqp://…`, several separated by commas for a cluster. Empty: the `postgres` transport."""
    namespace: str = Field(default="callboard", pattern=r"^[a-z][a-z0-9_]{0,40}$")
    """Prefix of exchanges and house queues, and the engine's schema: staging can stand beside production."""
    source: str = Field(default="callboard", min_length=1, max_length=255)
    """The CloudEvents `source` of what this application publishes."""
    apps: Annotated[tuple[str, ...], NoDecode] = ()
    """Packages of one's own that hold `schemas`, `actors` and `pipelines`, separated by commas."""
    demo: bool = False
    """Whether the demo domains of this repository are loaded."""
    threads: int = Field(default=8, ge=1, le=256)
    """Worker threads a process: how many sync actors run at once in it."""
    async_slots: int = Field(default=500, ge=1, le=100_000)
    """How many async runs a process holds at once."""
    records_in_flight: int = Field(default=64, ge=1)
    """Outcomes handed to the journal and not yet committed, a process: bounds memory when PostgreSQL is slow."""
    lease: timedelta = timedelta(seconds=10)
    """A worker whose heartbeat is older than this is dead even if its lock is held (stopped, partitioned)."""
    sweep_interval: timedelta = timedelta(milliseconds=250)
    """How often the leader looks for dead workers, due timers and due outbox rows."""
    grace: timedelta = timedelta(seconds=25)
    """How long a stopping worker waits for running bodies; below the 30 s that most supervisors give."""
    crash_limit: int = Field(default=5, ge=2)
    """After this many crashes of its worker a run is a dead letter. From the second on it runs in quarantine."""
    dedup_window: timedelta = timedelta(days=30)
    """How long a finished run is remembered, so that its event is recognised when it comes again. Older events are parked."""
    keep_steps: timedelta = timedelta(days=7)
    """How long the step results of finished runs are kept; those of failed runs as long as the run."""
    hard_event_bytes: int = 1024 * 1024
    data: Path = Path(".state")
    """Where file stores and embedded servers keep their data."""
    log_level: str = "info"
    log_json: bool = False
    trace_sample: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of traces that are recorded, decided at the first publish of a chain."""
    trace_resumed: Literal["chain", "linked"] = "chain"
    """Whether retries, delays and replays stay in the trace of their event or start one that links to it."""

    @field_validator("apps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def database(self) -> Database:
        """Raises ConfigurationError when no database is set."""
        if not self.database_url.get_secret_value():
            raise ConfigurationError(
                "CALLBOARD_DATABASE_URL is not set: give it a PostgreSQL DSN, or use ./ops/run, which brings its own PostgreSQL"
            )
        direct = self.database_direct_url.get_secret_value() if self.database_direct_url else None
        return Database(self.database_url.get_secret_value(), self.namespace, direct)


def load_settings() -> Settings:
    """Read the environment. Raises ConfigurationError that names each variable at fault, without its value."""
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"CALLBOARD_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        )
        raise ConfigurationError(f"settings: {faults}") from None
