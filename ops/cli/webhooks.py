"""`callboard webhooks`: which webhooks are declared, whether their secrets are set, and what has come in."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from broker import Settings, Webhook
from broker.errors import CallboardError, NotFoundError
from broker.webhooks import deliveries
from broker.webhooks.deliveries import Count, Taken
from broker.wiring import nearest
from ops.boot import load
from ops.cli import completion
from ops.cli.screen import Cell, ago, console, emit_json, one_line, table
from ops.cli.session import connected, settings_of_command

DAY = timedelta(days=1)

Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document, nothing cut off.")]


def webhooks(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="One of them: its last deliveries.",
            autocompletion=completion.webhooks,
        ),
    ] = None,
    unmapped: Annotated[
        bool, typer.Option("--unmapped", help="Only deliveries that left as webhook.received.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many deliveries.")] = 20,
    json: Json = False,
) -> None:
    """List the declared webhooks with the last day's deliveries; or, of one, each delivery and its events."""
    settings = settings_of_command()
    if name is None and not unmapped:
        _list(settings, json)
        return
    with connected(settings) as connection:
        found = deliveries.deliveries(connection, name, unmapped=unmapped, limit=limit)
    if name is not None and not found:
        _refuse_unknown(settings, name)
    if json:
        emit_json(found)
    elif found:
        console().print(table(["DELIVERY", "TOPIC", "CAME", "AS", "EVENT"], map(_delivery, found)))
    else:
        console().print("no delivery like that is kept")


def _list(settings: Settings, json: bool) -> None:
    declared = load(settings).webhooks
    with connected(settings) as connection:
        counts = deliveries.counts(connection, DAY)
    if json:
        emit_json([_plain(each, counts.get(each.name)) for each in declared])
    elif declared:
        headers = ["WEBHOOK", "SCHEME", "SECRETS", "PUBLISHES", "LAST DAY", "UNMAPPED", "LAST"]
        console().print(table(headers, [_row(each, counts.get(each.name)) for each in declared]))
    else:
        console().print("no webhook is declared: see ops/docs/webhooks.md")


def _row(webhook: Webhook, count: Count | None) -> list[Cell]:
    kinds = ", ".join(kind.event_type for kind in webhook.kinds)
    numbers = (
        [str(count.deliveries), str(count.unmapped), f"{ago(count.last_at)} ago"] if count else ["0", "0", ""]
    )
    return [webhook.name, type(webhook.scheme).__name__, _secrets(webhook), kinds, *numbers]


def _secrets(webhook: Webhook) -> Text:
    variable = webhook.scheme.secrets.variable
    try:
        count = len(webhook.scheme.secrets.read())
    except CallboardError:
        return Text(f"{variable} cannot be read", style="red")
    return Text(f"{count} in {variable}") if count else Text(f"{variable} is not set", style="red")


def _delivery(taken: Taken) -> list[Cell]:
    told = Text(", ".join(taken.types))
    if taken.problem is not None:
        told = Text(f"mapping failed: {one_line(taken.problem)}", style="red")
    elif not taken.mapped:
        told = Text(f"{taken.types[0]}: not mapped", style="yellow")
    return [taken.id, taken.topic, f"{ago(taken.received_at)} ago", told, ", ".join(taken.events)]


def _plain(webhook: Webhook, count: Count | None) -> dict[str, object]:
    return {
        "name": webhook.name,
        "scheme": type(webhook.scheme).__name__,
        "setting": webhook.scheme.secrets.variable,
        "publishes": [kind.event_type for kind in webhook.kinds],
        "last_day": count,
    }


def _refuse_unknown(settings: Settings, name: str) -> None:
    """Only where nothing of that name is kept: deliveries of a webhook that is declared no more are still there."""
    names = [webhook.name for webhook in load(settings).webhooks]
    if name not in names:
        raise NotFoundError(
            f"no webhook is named {name!r}{nearest(name, names)}; there are {', '.join(names) or 'none'}"
        )
