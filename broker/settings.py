"""Every setting of the engine, read from `CALLBOARD_*` environment variables, as one frozen value that is passed around.

The text below a field is what `callboard settings --page` and ops/docs/settings.md say of it.
"""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from broker.database import Database
from broker.environment import EnvironmentSettings, Separated
from broker.errors import ConfigurationError
from broker.links import plain


class Settings(EnvironmentSettings):
    """What may be set. Every field has a default that is safe in development; production sets `database_url`."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_")

    database_url: SecretStr = SecretStr("")
    """PostgreSQL 14 to 18, as a DSN. Empty: `./ops/run` and `callboard dev` start their own; every other command refuses."""
    database_direct_url: SecretStr | None = None
    """A DSN past any transaction pooler, for session locks and LISTEN. Only needed where the first one points to a pooler."""
    broker_url: SecretStr = SecretStr("")
    """`amqp://…` or `amqps://…`, several nodes of one cluster separated by commas: each process begins at one of them by
    chance, and moves on by itself when that one is lost. Empty: the `postgres` transport."""
    rabbitmq_api: SecretStr = SecretStr("")
    """Address of RabbitMQ's management plugin with an administrator's name and password, `http://admin:…@host:15672`. For
    `callboard setup rabbitmq`, and for `callboard doctor` to look at users; nothing else needs it."""
    require_tls: bool = False
    """Refuse addresses of PostgreSQL and RabbitMQ that do not insist on an encrypted link to a verified server: `amqps://`,
    `https://`, and `sslmode=verify-full` (or `verify-ca`) in each DSN. Those on this machine may be plain."""
    namespace: str = Field(default="callboard", pattern=r"^[a-z][a-z0-9_]{0,40}$")
    """Prefix of exchanges and house queues, and the name of the engine's schema. Actors' queues carry it too, unless it is
    the default. Domain tables do not: a namespace whose domains keep tables needs a database of its own."""
    source: str = Field(default="callboard", min_length=1, max_length=255)
    """The CloudEvents `source` of what this application publishes."""
    apps: Separated[tuple[str, ...]] = ()
    """Packages of your own that hold `actors` and `pipelines`, separated by commas."""
    demo: bool = False
    """Whether this repository's own domains are loaded. `./ops/run` switches it on."""
    threads: int = Field(default=8, ge=1, le=256)
    """Worker threads a process: sync actors that run at once. 1 to 256."""
    async_slots: int = Field(default=500, ge=1, le=100_000)
    """Async runs that a process holds at once."""
    records_in_flight: int = Field(default=64, ge=1)
    """Outcomes handed to the journal and not yet committed, a process. Bounds memory when PostgreSQL is slow."""
    lease: timedelta = timedelta(seconds=10)
    """A worker whose heartbeat is older is dead even if its lock is held (stopped, cut off). An idle one beats every second."""
    sweep_interval: timedelta = timedelta(milliseconds=250)
    """How often the leader looks for dead workers, due timers and due outbox rows."""
    grace: timedelta = timedelta(seconds=25)
    """How long a stopping worker waits for running bodies; below the 30 s that most supervisors give."""
    crash_limit: int = Field(default=5, ge=2)
    """After this many crashes of its worker a run is a dead letter. From the second on it runs in quarantine. At least 2."""
    dedup_window: timedelta = timedelta(days=30)
    """How long a finished run is remembered, so that its event is recognised when it comes again. An older event is parked as
    `too old to know`."""
    keep_steps: timedelta = timedelta(days=7)
    """How long step results of finished runs are kept; those of failed runs as long as the run."""
    look_back: timedelta = timedelta(days=1)
    """How long events that runs wait for are kept, so that a wait may look back at what came before it."""
    broadcast_keep: timedelta = timedelta(hours=1)
    """How long what runs broadcast is kept, so that a listener who comes back is told what it has missed."""
    realtime_secret: SecretStr = SecretStr("")
    """Signs the tokens with which one listens to realtime channels; at least 32 characters. Several, separated by commas: the
    first signs, all are taken, which is how one is exchanged. Empty: nobody listens."""
    realtime_listeners: int = Field(default=1000, ge=1)
    """Listeners that a `callboard web` holds at once; the next one is answered 503."""
    ingest_open: bool = False
    """Whether `callboard web` takes events over HTTP without an event key. For development on loopback; `callboard dev` and
    `./ops/run` set it."""
    cron_secret: SecretStr = SecretStr("")
    """Opens `POST /cron/{name}`: as a bearer token, or, as `whsec_…`, for Standard Webhooks signatures. Several may be separated
    by commas. Empty: nobody triggers schedules over HTTP."""
    metrics_secret: SecretStr = SecretStr("")
    """Opens `GET /metrics`, as a bearer token. Several may be separated by commas. Empty: it asks for nothing."""
    sign_in_time: timedelta = Field(default=timedelta(hours=12), gt=timedelta(0))
    """After this somebody who has signed in to the pages does so again."""
    hard_event_bytes: int = 1024 * 1024
    """Largest data of an event that comes in or that `Publisher` hands over. The codec's own limit is 1 MiB: a larger value
    has no effect."""
    soft_event_bytes: int = Field(default=256 * 1024, ge=1)
    """Data of an event beyond which publishing and claiming it logs `event_large`, once a minute for each type: its id, type and
    size, never its payload."""
    unknown_grace: timedelta = timedelta(minutes=15)
    """How long an event whose type or version nobody here knows waits for newer code before it is a dead letter. Longer than a
    deploy takes. 0 parks it at once."""
    data: Path = Path(".state")
    """Where file stores and embedded servers keep their data."""
    log_level: str = "info"
    """`debug`, `info`, `warning`, `error`, `critical`."""
    log_json: bool = False
    """One JSON object a line."""
    trace_sample: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of traces that are recorded, decided at the first publish of a chain."""
    trace_url: str = ""
    """Address of a trace in your tracing backend, with `{trace_id}` in it, such as `https://traces.example.com/trace/{trace_id}`.
    `callboard trace` and the status page link to it."""
    trace_resumed: Literal["chain", "linked"] = "chain"
    """`chain`: retries, delays and replays stay in the trace of their event. `linked`: they start one that links to it."""

    @model_validator(mode="after")
    def _refuse_plain(self) -> Self:
        if not self.require_tls:
            return self
        direct = self.database_direct_url.get_secret_value() if self.database_direct_url else ""
        dsns = (
            ("CALLBOARD_DATABASE_URL", self.database_url.get_secret_value()),
            ("CALLBOARD_DATABASE_DIRECT_URL", direct),
        )
        urls = [("CALLBOARD_BROKER_URL", url) for url in self.broker_urls]
        urls.append(("CALLBOARD_RABBITMQ_API", self.rabbitmq_api.get_secret_value()))
        if wanting := plain(dsns, urls):
            raise ValueError(
                f"{', '.join(dict.fromkeys(wanting))}: CALLBOARD_REQUIRE_TLS is on, and this link may be plain: give amqps://, "
                "https:// or ?sslmode=verify-full"
            )
        return self

    @property
    def broker_urls(self) -> tuple[str, ...]:
        """The nodes of the broker, one or several; none on the `postgres` transport."""
        return tuple(url.strip() for url in self.broker_url.get_secret_value().split(",") if url.strip())

    @property
    def database(self) -> Database:
        """Raises ConfigurationError when no database is set."""
        if not self.database_url.get_secret_value():
            raise ConfigurationError(
                "CALLBOARD_DATABASE_URL is not set: give it a PostgreSQL DSN, or use `callboard dev`, which brings its own"
            )
        direct = self.database_direct_url.get_secret_value() if self.database_direct_url else None
        return Database(self.database_url.get_secret_value(), self.namespace, direct)


def load_settings() -> Settings:
    """Read the environment. Raises ConfigurationError that names each variable at fault, without its value."""
    return Settings.load()
