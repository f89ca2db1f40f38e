"""`callboard schedules`: what a person sees and does; and what boot says of expressions that cannot be."""

import json
import re
import secrets
from pathlib import Path

import pytest

from broker import ConfigurationError, load_settings
from broker.database import Database
from broker.schedules.register import register
from ops.boot import load
from tests.ops.conftest import Cli

BAD = """
from periodiq import cron

from broker import Schedule
from tests.support.troupe.schemas import LineSpoken

opening = Schedule(
    "opening-night",
    cron({expression!r}),
    LineSpoken(folder=""),
)
"""


@pytest.fixture
def registered(database: Database, cli: Cli) -> Database:
    """As if a worker of the troupe had started."""
    app = load(load_settings())
    register(database, app.schedules, ["tests.support.troupe"])
    return database


def told(cli: Cli, *arguments: str) -> str:
    result = cli("schedules", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_next_times_are_told_in_the_zone_and_in_utc(registered: Database, cli: Cli) -> None:
    assert re.search(
        r"leap-day +0 20 29 2 \* +Europe/Berlin +Tue 2028-02-29 20:00 CET +2028-02-29 19:00 UTC +on",
        told(cli),
    )
    shown = told(cli, "show", "leap-day", "--next", "2")
    assert "Sun 2032-02-29 20:00 CET  2032-02-29 19:00 UTC" in shown
    assert "line.spoken" in shown and "no tick yet" in shown


def test_before_a_worker_has_started_there_is_none(database: Database, cli: Cli) -> None:
    assert told(cli).startswith("no schedule is known here")


def test_a_schedule_is_paused_and_resumed(registered: Database, cli: Cli) -> None:
    told(cli, "pause", "leap-day")
    assert "paused" in told(cli)
    assert "Tue 2028-02-29 20:00 CET" in told(cli, "resume", "leap-day")


def test_an_edit_is_seen_beside_what_the_code_says_until_it_is_reset(registered: Database, cli: Cli) -> None:
    shown = told(cli, "edit", "leap-day", "--cron", "@monthly", "--timezone", "UTC", "--missed", "skip")
    assert "@monthly   edited; the code says 0 20 29 2 *" in shown
    assert "UTC   edited; the code says Europe/Berlin" in shown
    assert "skip   edited; the code says one" in shown
    assert "on, edited" in told(cli)
    assert "edited" not in told(cli, "edit", "leap-day", "--reset")


def test_a_trigger_prints_the_id_of_its_event_and_is_among_the_ticks(registered: Database, cli: Cli) -> None:
    id = told(cli, "trigger", "leap-day").strip()

    assert id in told(cli, "show", "leap-day")
    document = json.loads(told(cli, "show", "leap-day", "--json"))
    assert [(tick["kind"], tick["event_id"]) for tick in document["ticks"]] == [("triggered", id)]
    assert document["in_effect"] == {
        "expression": "0 20 29 2 *",
        "timezone": "Europe/Berlin",
        "missed": "one",
    }
    with registered.once("test") as connection:
        [(body,)] = connection.execute("select body from outbox").fetchall()
    assert b"/nowhere/" in bytes(body)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "leap-dya"], "did you mean 'leap-day'?"),
        (["trigger", "leap-dya"], "did you mean 'leap-day'?"),
        (["edit", "leap-day"], "say what to change"),
        (["edit", "leap-day", "--reset", "--cron", "@daily"], "--reset alone"),
        (["edit", "leap-day", "--cron", "0 0 30 2 *"], "never fires"),
        (["edit", "leap-day", "--timezone", "Berlin"], "no time zone"),
    ],
)
def test_slips_are_told_in_a_line(arguments: list[str], words: str, registered: Database, cli: Cli) -> None:
    result = cli("schedules", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr and len(result.stderr.splitlines()) == 1


def test_check_and_pipelines_list_what_the_code_declares(cli: Cli) -> None:
    for command in ("check", "pipelines"):
        assert re.search(
            r"leap-day +0 20 29 2 \* +Europe/Berlin +line.spoken +speak.speak", cli(command).stdout
        )


@pytest.mark.parametrize(
    "expression", ["0 20 * jan *", "0 20 * *", "@reboot", "5-1 * * * *", "99 * * * *", "0 0 30 2 *"]
)
def test_boot_names_the_schedule_whose_expression_cannot_be(
    expression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them periodiq refuses in words of its own, some it would take and never fire."""
    package = f"opera_{secrets.token_hex(4)}"
    for room in ("", "actors", "pipelines"):
        (tmp_path / package / room).mkdir()
        (tmp_path / package / room / "__init__.py").touch()
    (tmp_path / package / "pipelines" / "opening.py").write_text(BAD.format(expression=expression))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CALLBOARD_APPS", package)

    with pytest.raises(ConfigurationError, match="schedule opening-night: "):
        load(load_settings())
