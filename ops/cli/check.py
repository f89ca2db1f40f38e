"""`callboard check`: everything that can be wrong before the first event travels. Needs no server."""

from collections.abc import Iterator, Sequence
from typing import Any

import typer
from rich.table import Table

from broker import Actor, Concurrency, Policies
from broker.broker import CallboardBroker
from ops.boot import App
from ops.cli.screen import console, errors, facts, table, took
from ops.cli.session import loaded, settings_of_command
from schemas import Event


def check() -> None:
    """Check the wiring of all that is loaded; exit status 1 if something is wrong. Lists it otherwise."""
    settings = settings_of_command()
    app = loaded(settings)
    CallboardBroker(settings.namespace, app.middleware).bind(app.actors)
    faults = app.faults()
    if faults:
        out = errors()
        out.print(f"{len(faults)} fault(s) in the wiring", style="red")
        for fault in faults:
            out.print()
            out.print(fault.subject, style="bold")
            out.print(facts([("problem", fault.problem), ("remedy", fault.remedy)]))
        raise typer.Exit(1)
    _show(app)


def _show(app: App) -> None:
    out = console()
    actors = sorted(app.actors, key=lambda actor: actor.name)
    out.print(
        table(["ACTOR", "HEARS", "PUBLISHES", "POLICIES"], [_row(actor) for actor in actors], wrapped=(2, 3))
    )
    out.print()
    rows = [
        (kind.event_type, str(kind.event_version), _names(_hearers(app, kind)) or "(other services)")
        for kind in _events(app)
    ]
    out.print(table(["EVENT", "VERSION", "HEARD BY"], rows))
    if app.pipelines:
        out.print()
        chains = [(p.name, " → ".join(actor.name for actor in p.actors)) for p in app.pipelines]
        out.print(table(["PIPELINE", "ACTORS"], chains))
    if app.schedules:
        out.print()
        out.print(schedules_of(app))
    if app.webhooks:
        out.print()
        out.print(webhooks_of(app))
    out.print()
    counts = f"{len(actors)} actors, {len(rows)} events, {len(app.pipelines)} pipelines"
    timed = f", {len(app.schedules)} schedules" if app.schedules else ""
    told = f", {len(app.webhooks)} webhooks" if app.webhooks else ""
    out.print(f"{counts}{timed}{told}: no faults", style="green")


def schedules_of(app: App) -> Table:
    """What the code declares; what is in effect, `callboard schedules` tells."""
    found = sorted(app.schedules, key=lambda schedule: schedule.name)
    return table(
        ["SCHEDULE", "CRON", "TIME ZONE", "PUBLISHES", "HEARD BY"],
        [
            (
                each.name,
                each.expression,
                each.timezone,
                each.kind.event_type,
                _names(_hearers(app, each.kind)),
            )
            for each in found
        ],
    )


def webhooks_of(app: App) -> Table:
    """What is answered at /webhooks, and the setting without which it is not."""
    return table(
        ["WEBHOOK", "SCHEME", "SECRETS", "PUBLISHES"],
        [
            (each.name, type(each.scheme).__name__, each.scheme.secrets.variable, _types(each.kinds))
            for each in sorted(app.webhooks, key=lambda webhook: webhook.name)
        ],
    )


def _events(app: App) -> list[type[Event]]:
    kinds = {kind for actor in app.actors for kind in (*actor.hears, *actor.publishes)}
    kinds |= {kind for webhook in app.webhooks for kind in webhook.kinds}
    return sorted(kinds, key=lambda kind: (kind.event_type, kind.event_version))


def _hearers(app: App, kind: type[Event]) -> list[str]:
    return sorted(actor.name for actor in app.actors if kind in actor.hears)


def _row(actor: Actor[Any, Any]) -> tuple[str, str, str, str]:
    return (actor.name, _types(actor.hears), _types(actor.publishes), policies_of(actor))


def policies_of(actor: Actor[Any, Any]) -> str:
    """In words: `3 attempts, 60 s limit, 10 per 1 min by user_id`."""
    policies = actor.policies
    told = [f"{policies.retry.attempts} attempts" if policies.retry.attempts > 1 else "1 attempt"]
    if policies.time_limit is not None:
        told.append(f"{took(policies.time_limit)} limit")
    if policies.deadline is not None:
        told.append(f"{took(policies.deadline)} in all")
    if policies.max_age is not None:
        told.append(f"no older than {took(policies.max_age)}")
    told += [text for text in _limits(policies) if text]
    if (once := policies.idempotency) is not None:
        told.append(f"once{_key(once.key)} in {took(once.ttl)}")
    if actor.waits_for:
        told.append(f"waits for {_types(actor.waits_for)}")
    if policies.cancelled_by:
        told.append(f"cancelled by {_types([each.event for each in policies.cancelled_by])}")
    return ", ".join(told)


def _limits(policies: Policies) -> Iterator[str]:
    if (throttle := policies.throttle) is not None:
        yield f"{throttle.limit} per {took(throttle.per)}{_key(throttle.key)}"
    if (rate := policies.rate_limit) is not None:
        yield f"{rate.limit} per {took(rate.per)}{_key(rate.key)}, the rest skipped"
    if (slots := policies.concurrency) is not None:
        yield f"{slots.limit} at once{_key(slots.key)}{', in order' if slots.ordered else ''}{_shared(slots)}"
    if policies.priority is not None:
        yield f"highest {policies.priority} first" if isinstance(policies.priority, str) else "highest first"
    if (single := policies.singleton) is not None:
        yield f"one live{_key(single.key)}" + (", cancels the older" if single.mode == "cancel" else "")
    if (quiet := policies.debounce) is not None:
        late = f", at the latest after {took(quiet.max_wait)}" if quiet.max_wait is not None else ""
        yield f"once quiet for {took(quiet.wait)}{_key(quiet.key)}{late}"
    if (batch := policies.batch) is not None:
        yield f"batches of {batch.size}{_key(batch.key)}, within {took(batch.within)}"


def _shared(slots: Concurrency) -> str:
    return "" if slots.scope == "actor" else f" of the {slots.scope}"


def _key(key: object) -> str:
    return f" by {key}" if isinstance(key, str) else "" if key is None else " by a function"


def _types(kinds: Sequence[type[Event]]) -> str:
    return _names([kind.event_type for kind in kinds])


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
