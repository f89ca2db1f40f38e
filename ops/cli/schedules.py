"""`callboard schedules`: what is published when, what was, and what a person changes about it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from broker import ConfigurationError, Missed, Schedule
from broker.schedules import control
from broker.schedules.control import ScheduleRow, TickRow
from broker.schedules.schedule import MOST_CAUGHT_UP
from broker.wiring import nearest
from ops.cli import completion
from ops.cli.screen import Cell, ago, console, emit_json, errors, facts, one_line, table, took
from ops.cli.session import connected, loaded, publishing, settings_of_command

app = typer.Typer(help="List schedules; show, pause, resume, trigger or edit one.")

LATE = timedelta(seconds=10)
"""A leader looks four times a second, so a slot that waits for so long is not being looked at."""

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="As `callboard schedules` shows it.", autocompletion=completion.schedules
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document, nothing cut off.")]


@app.callback(invoke_without_command=True)
def schedules(ctx: typer.Context, json: Json = False) -> None:
    if ctx.invoked_subcommand is None:
        list_(json)


@app.command("list")
def list_(json: Json = False) -> None:
    """All of them, with their next times; retired ones last."""
    with connected(settings_of_command()) as connection:
        found = control.all_schedules(connection)
    if json:
        emit_json([_plain(row, 1) for row in found])
    elif found:
        console().print(
            table(["SCHEDULE", "CRON", "TIME ZONE", "NEXT", "", "STATE"], [_row(row) for row in found])
        )
    else:
        console().print("no schedule is known here: one is once a worker has started with it")


@app.command()
def show(
    name: Name,
    count: Annotated[int, typer.Option("--next", "-n", min=1, max=100, help="How many times to come.")] = 5,
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many ticks that were.")] = 10,
    json: Json = False,
) -> None:
    """One schedule: what is in effect, its next times, its last ticks."""
    with connected(settings_of_command()) as connection:
        row, ticks = control.get_schedule(connection, name), control.ticks(connection, name, last)
    if json:
        emit_json({**_plain(row, count), "ticks": ticks})
        return
    out = console()
    out.print(name, style="bold")
    out.print(facts(_facts(row)))
    if row.runs:
        out.print("\nnext")
        moments = row.coming(count)
        out.print(facts((f"{_there(moment, row)}", _in_utc(moment)) for moment in moments))
    _show_ticks(out, row, list(ticks))


@app.command()
def pause(name: Name) -> None:
    """No more ticks until it is resumed."""
    with connected(settings_of_command()) as connection:
        control.pause(connection, name)
    console().print(f"{name} is paused; `callboard schedules resume {name}` goes on with the next time then")


@app.command()
def resume(name: Name) -> None:
    """Go on with the next time; what fell due meanwhile is not made up for."""
    with connected(settings_of_command()) as connection:
        row = control.resume(connection, name)
    console().print(f"{name}: next at {_there(row.next_at, row)} ({_in_utc(row.next_at)})")


@app.command()
def trigger(name: Name) -> None:
    """A tick now, also of a paused one; prints the event's id. The times to come stay as they are."""
    settings = settings_of_command()
    schedule = _declared(loaded(settings).schedules, name)
    with connected(settings) as connection, publishing(settings) as publisher:
        id = control.trigger(connection, publisher, schedule)
    print(id)
    if (out := errors()).is_terminal:
        out.print(
            f"{schedule.kind.event_type} leaves with a worker's next look; see `callboard why {id}`",
            style="dim",
        )


@app.command()
def edit(
    name: Name,
    cron: Annotated[str | None, typer.Option("--cron", help="Five fields, such as '0 3 * * *'.")] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Such as Europe/Berlin.")] = None,
    missed: Annotated[Missed | None, typer.Option("--missed", help="What becomes of missed ticks.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to what the code says.")] = False,
) -> None:
    """Override what the code says, over deploys too, until --reset."""
    if reset == any((cron, timezone, missed)):
        raise ConfigurationError("say what to change: --cron, --timezone, --missed; or --reset alone")
    with connected(settings_of_command()) as connection:
        if reset:
            row = control.reset(connection, name)
        else:
            row = control.edit(connection, name, expression=cron, timezone=timezone, missed=missed)
    console().print(name, style="bold")
    console().print(facts([*_facts(row), ("next", f"{_there(row.next_at, row)} ({_in_utc(row.next_at)})")]))


def _row(row: ScheduleRow) -> list[Cell]:
    table = row.timetable
    shown = [_there(row.next_at, row), _in_utc(row.next_at)] if row.runs else ["", ""]
    return [row.name, table.expression, table.timezone, *shown, _state(row)]


def _state(row: ScheduleRow) -> Text:
    if row.retired_at is not None:
        return Text(f"retired {ago(row.retired_at)} ago", style="dim")
    told = [Text(f"paused {ago(row.paused_at)} ago", style="yellow") if row.paused_at else Text("on")]
    if row.edited:
        told.append(Text("edited", style="yellow"))
    if row.error is not None:
        told.append(Text(f"failing: {one_line(row.error)}", style="red"))
    elif row.runs and row.now - row.next_at > LATE:
        told.append(
            Text(f"late by {took(row.now - row.next_at)}: no worker that knows it is alive", style="red")
        )
    return Text(", ").join(told)


def _facts(row: ScheduleRow) -> list[tuple[str, Cell | None]]:
    return [
        ("cron", _edited(row.timetable.expression, row.expression)),
        ("time zone", _edited(row.timetable.timezone, row.timezone)),
        ("missed", _edited(row.policy.value, row.missed)),
        ("", _policy(row)),
        ("publishes", row.event_type),
        ("app", row.app),
        ("state", _state(row)),
    ]


def _policy(row: ScheduleRow) -> Text:
    """`later than 1 min is missed; at most 100 at once, none older than 2 d`."""
    told = [f"at most {row.catch_up} at once"] if row.policy is Missed.ALL else []
    if row.max_age is not None and row.policy is not Missed.SKIP:
        told.append(f"none older than {took(row.max_age)}")
    rest = f"; {', '.join(told)}" if told else ""
    return Text(f"later than {took(row.grace)} is missed{rest}", style="dim")


def _edited(now: str, declared: str) -> Text:
    return Text(now) if now == declared else Text(f"{now}   edited; the code says {declared}", style="yellow")


def _show_ticks(out: Console, row: ScheduleRow, ticks: list[TickRow]) -> None:
    if not ticks:
        out.print("\nno tick yet", style="dim")
        return
    out.print("\nlast")
    rows = [(f"  {_there(tick.slot, row)}", _told(tick), tick.event_id or "") for tick in ticks]
    out.print(table(["  SLOT", "TICK", "EVENT"], rows))


def _told(tick: TickRow) -> str:
    """`on time`, `late by 2 h`, `skipped with 3 earlier ones`."""
    word = {"due": "on time", "late": f"late by {took(tick.at - tick.slot)}"}.get(tick.kind, tick.kind)
    if not tick.missed:
        return word
    many = f"{tick.missed}{'+' if tick.missed == MOST_CAUGHT_UP else ''} earlier {'one' if tick.missed == 1 else 'ones'}"
    return f"{word}, with {many}" if tick.kind == "skipped" else f"{word}, for {many} too"


def _there(moment: datetime, row: ScheduleRow) -> str:
    """`Fri 2027-03-26 03:00 CET`, in the schedule's zone."""
    local = moment.astimezone(ZoneInfo(row.timetable.timezone))
    return f"{local:%a %Y-%m-%d %H:%M}{f':{local:%S}' if local.second else ''} {local:%Z}"


def _in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _plain(row: ScheduleRow, count: int) -> dict[str, object]:
    """For scripts: the row, and what is in effect."""
    effect = {
        "expression": row.timetable.expression,
        "timezone": row.timetable.timezone,
        "missed": row.policy,
    }
    stored = {name: getattr(row, name) for name in ScheduleRow.__dataclass_fields__}
    return {**stored, "in_effect": effect, "coming": row.coming(count)}


def _declared(found: tuple[Schedule, ...], name: str) -> Schedule:
    for schedule in found:
        if schedule.name == name:
            return schedule
    names = [schedule.name for schedule in found]
    raise ConfigurationError(
        f"no loaded code declares a schedule {name!r}{nearest(name, names)}; there are {', '.join(names) or 'none'}"
    )
