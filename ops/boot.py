"""The one place that joins settings, transport, middleware order, actors and pipelines. Nothing happens before it is called."""

import importlib
import pkgutil
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import dramatiq
from opentelemetry.trace import Tracer
from pydantic_settings import BaseSettings

from broker import Actor, ConfigurationError, Pipeline, Policies, Publisher, Schedule, Settings, Webhook
from broker.broker import CallboardBroker
from broker.database import Database
from broker.engine import Engine
from broker.ledger import Ledger
from broker.middleware.trace import Trace
from broker.migrate import Migration, engine_migrations, read_folder
from broker.schedules.checks import check_schedules
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from broker.webhooks.checks import check_webhooks
from broker.wiring import Fault, check, pipelines_of
from ops.misread import misread


class BrokenModuleError(ConfigurationError):
    """A module of an app cannot be imported; what it raised is the cause."""


@dataclass(frozen=True, slots=True)
class App:
    """Actors, pipelines, schedules, webhooks, and the SQL, settings and ledgers of their domains. Valid while empty."""

    actors: tuple[Actor[Any, Any], ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    domains: tuple[tuple[str, Path], ...] = ()
    middleware: tuple[dramatiq.Middleware, ...] = field(default=())
    settings: tuple[type[BaseSettings], ...] = ()
    schedules: tuple[Schedule, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    ledgers: tuple[Ledger, ...] = ()

    def migrations(self, schema: str) -> list[Migration]:
        """The engine's, then each domain's, in order."""
        own = [migration for name, folder in self.domains for migration in read_folder(name, folder, name)]
        return [*engine_migrations(schema), *own]

    def faults(self) -> list[Fault]:
        return [
            *check(self.actors, self.pipelines),
            *check_schedules(self.schedules, self.actors),
            *check_webhooks(self.webhooks, self.actors),
        ]


def load(settings: Settings) -> App:
    """Import the rooms of the demo (where switched on) and of every app named in the settings.

    Raises ConfigurationError for an app that cannot be imported, for any wrong declaration in it, and for a namespace named as
    one of the domains.
    """
    actors: list[Actor[Any, Any]] = []
    pipelines: list[Pipeline] = []
    domains: list[tuple[str, Path]] = []
    kinds: list[type[BaseSettings]] = []
    ledgers: list[Ledger] = []
    schedules: dict[Schedule, str] = {}
    webhooks: list[Webhook] = []
    for app in apps_of(settings):
        prefix = f"{app}." if app else ""
        own: list[Actor[Any, Any]] = []
        defaults: Policies | None = None
        for module in _modules(f"{prefix}actors"):
            defaults = defaults or _defaults_in(module, f"{prefix}actors")
            own += [found for found in vars(module).values() if _defined_in(found, module)]
            kinds += _settings_in(module)
            ledgers += [found for found in vars(module).values() if isinstance(found, Ledger)]
        if defaults is not None:
            for each in own:
                each.with_defaults(defaults)
        actors += own
        for module in _modules(f"{prefix}pipelines"):
            pipelines += [found for found in vars(module).values() if isinstance(found, Pipeline)]
            schedules |= {found: app for found in vars(module).values() if isinstance(found, Schedule)}
            webhooks += [found for found in vars(module).values() if isinstance(found, Webhook)]
        domains += _domains(f"{prefix}actors")
    if settings.namespace in dict(domains):
        raise ConfigurationError(
            f"CALLBOARD_NAMESPACE is {settings.namespace!r}, and so is a domain: both would keep their tables in one schema; "
            "name the namespace otherwise"
        )
    return App(
        tuple(dict.fromkeys(actors)),
        tuple(dict.fromkeys(pipelines)),
        tuple(domains),
        (),
        tuple(kinds),
        tuple(replace(schedule, app=app) for schedule, app in schedules.items()),
        tuple(dict.fromkeys(webhooks)),
        tuple(dict.fromkeys(ledgers)),
    )


def apps_of(settings: Settings) -> list[str]:
    """The packages whose rooms are loaded; this repository's own, with the demo, is the empty name."""
    return [*([""] if settings.demo else []), *settings.apps]


def make_broker(app: App, settings: Settings) -> CallboardBroker:
    """Actors bound, policies in order. Raises ConfigurationError naming every fault that `callboard check` would show."""
    broker = CallboardBroker(settings.namespace, app.middleware)
    broker.bind(app.actors)
    faults = app.faults()
    if faults:
        lines = "\n".join(f"  {fault.subject}: {fault.problem}. {fault.remedy}." for fault in faults)
        raise ConfigurationError(f"the wiring has {len(faults)} fault(s):\n{lines}")
    return broker


def make_transport(settings: Settings, *, worker_id: UUID | None = None) -> Transport:
    """`rabbitmq` where a broker URL is set, else `postgres`. Connects to nothing yet."""
    if urls := settings.broker_urls:
        return RabbitmqTransport(urls, name=settings.namespace, exchange=f"{settings.namespace}.events")
    return PostgresTransport(settings.database, worker_id=worker_id)


def make_publisher(settings: Settings, transport: Transport, trace: Trace | None = None) -> Publisher:
    """For code that is no actor."""
    database: Database = settings.database
    return Publisher(
        transport, settings.source, database, trace, settings.hard_event_bytes, settings.soft_event_bytes
    )


def make_engine(
    app: App,
    settings: Settings,
    *,
    queues: Sequence[str] | None = None,
    name: str | None = None,
    tracer: Tracer | None = None,
) -> Engine:
    """Everything one worker process needs, not yet started. Call it after the process has forked."""
    broker = make_broker(app, settings)
    wanted = list(queues) if queues is not None else None
    return Engine(
        settings,
        broker,
        make_transport(settings),
        queues=wanted,
        pipelines=pipelines_of(app.pipelines),
        schedules=app.schedules,
        name=name,
        tracer=tracer,
    )


def _modules(package: str) -> Iterator[ModuleType]:
    """The package's modules, all levels, imported. A package that does not exist has none."""
    try:
        root = _imported(package)
    except ModuleNotFoundError as error:
        if error.name and package.startswith(error.name) and error.name != package.split(".")[0]:
            return
        raise ConfigurationError(
            f"CALLBOARD_APPS: cannot import {package} ({error}); is it installed here?"
        ) from error
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        try:
            yield _imported(found.name)
        except ModuleNotFoundError as error:
            raise _broken(found.name, error) from error


def _imported(name: str) -> ModuleType:
    """Raises ModuleNotFoundError, and ConfigurationError for whatever else is raised in the module: an error of syntax, a cron
    expression that periodiq stumbles over, a wrong declaration."""
    try:
        return importlib.import_module(name)
    except (ModuleNotFoundError, ConfigurationError):
        raise
    except Exception as error:
        fault = misread(error) if isinstance(error, KeyError | ValueError | IndexError) else None
        raise (ConfigurationError(fault) if fault else _broken(name, error)) from error


def _broken(module: str, error: Exception) -> BrokenModuleError:
    """The place in the author's file."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename
    ]
    where = f"{frames[-1].filename}:{frames[-1].lineno}"
    told = str(error)
    if isinstance(error, SyntaxError):
        where, told = f"{error.filename}:{error.lineno}", error.msg
    return BrokenModuleError(f"cannot import {module}: {type(error).__name__} in {where}: {told}")


def _defined_in(found: object, module: ModuleType) -> bool:
    return isinstance(found, Actor) and found.fn.__module__ == module.__name__


def _defaults_in(module: ModuleType, root: str) -> Policies | None:
    """The policies that all actors of an app have: `defaults` in its `actors/__init__.py`."""
    found = vars(module).get("defaults") if module.__name__ == root else None
    if found is not None and not isinstance(found, Policies):
        raise ConfigurationError(
            f"{root}: defaults must be Policies(…), not {type(found).__name__}; another name if it is something else"
        )
    return found


def _settings_in(module: ModuleType) -> list[type[BaseSettings]]:
    """The settings classes of an `actors/<domain>/settings.py`."""
    if not module.__name__.endswith(".settings"):
        return []
    classes = [found for found in vars(module).values() if isinstance(found, type)]
    return [
        found for found in classes if issubclass(found, BaseSettings) and found.__module__ == module.__name__
    ]


def _domains(package: str) -> list[tuple[str, Path]]:
    try:
        root = importlib.import_module(package)
    except ModuleNotFoundError:
        return []
    folders = [
        Path(place) / found.name / "sql" for place in root.__path__ for found in pkgutil.iter_modules([place])
    ]
    return [(folder.parent.name, folder) for folder in folders if folder.is_dir()]
