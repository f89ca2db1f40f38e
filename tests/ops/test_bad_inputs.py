"""The command line as a door: whatever is typed gets one line that names what is wrong, and nothing is stored half."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from broker import NO_RETRY, NonRetriable, Run, actor
from broker.dead_letters import list_letters
from broker.testing import Stage
from schemas import Event
from tests.ops.conftest import Cli
from tests.support.waiting import eventually

LONG = "x" * 300
STEERING = "\x1b[31mred\x1b]0;title\x07<script>alert(1)</script>"


class CaskFilled(Event, type="cask.filled"):
    litres: int
    label: str = ""


@actor(retry=NO_RETRY)
def fill(event: CaskFilled, run: Run) -> None:
    raise NonRetriable(f"the label is {event.label}")


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [fill]) as made:
        yield made


@pytest.fixture
def letter(stage: Stage) -> str:
    """The id of a dead letter whose error would steer a terminal."""
    stage.publish(CaskFilled(litres=1, label=STEERING))
    with stage.database.once("test") as connection:
        return str(eventually(lambda: list_letters(connection))[0].id)


PAYLOADS = [
    (r'{"folder": "a\u0000b"}', "NUL"),
    ('{"folder": "x", "n": 99999999999999999999}', "64 bits"),
    ('{"folder": NaN}', "finite"),
    ('{"folder": "x", "folder": "y"}', "given twice"),
    ('{"folder": ' + "[" * 1000 + "]" * 1000 + "}", "deeper than"),
    ("[]", "object"),
    ("", "is not JSON"),
    ('{"folder": "' + "y" * 1_100_000 + '"}', "the limit is 1048576"),
]


@pytest.mark.parametrize(("payload", "words"), PAYLOADS, ids=[words for _, words in PAYLOADS])
def test_a_bad_payload_is_not_published(payload: str, words: str, stage: Stage, cli: Cli) -> None:
    told = cli("publish", "line.spoken", "-", stdin=payload)
    assert told.exit_code == 1
    assert words in told.stderr and len(told.stderr.splitlines()) == 1
    assert stage.rows("select count(*) from outbox") == stage.rows("select count(*) from delivery") == [(0,)]


@pytest.mark.parametrize(
    "name", ["page.#", "page.*", "../../etc/passwd", LONG, "a\nb", "", "line.spoken; drop table run"]
)
def test_an_event_type_that_is_none_is_told(name: str, stage: Stage, cli: Cli) -> None:
    told = cli("publish", name, "{}")
    assert told.exit_code == 1
    assert "no event is named" in told.stderr and "\x1b" not in told.stderr
    assert stage.rows("select count(*) from outbox") == [(0,)]


@pytest.mark.parametrize("id", ["", LONG, "a\0b", "tab\there"])
def test_an_id_that_no_header_carries_is_refused(id: str, stage: Stage, cli: Cli) -> None:
    told = cli("publish", "line.spoken", '{"folder": "x"}', "--id", id)
    assert told.exit_code == 1 or id == ""
    assert "Traceback" not in told.stderr


FILTERS = [
    ["--reason", "'; drop table dead_letter; --"],
    ["--error", "%' or '1'='1"],
    ["--actor", "\\"],
    ["--type", LONG],
]


@pytest.mark.parametrize("options", FILTERS, ids=[option for _, option in FILTERS])
def test_sql_in_a_filter_is_a_text_like_any_other(
    options: list[str], letter: str, stage: Stage, cli: Cli
) -> None:
    found = cli("dead", "list", *options)
    assert found.exit_code == 0 and letter not in found.stdout
    replayed = cli("dead", "replay", *options, "--yes")
    assert "Traceback" not in replayed.output
    assert stage.rows("select count(*) from dead_letter where settled_at is null") == [(1,)]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ('{"litres": "many"}', "litres"),
        (r'{"litres": 1, "label": "\u0000"}', "NUL"),
        ('{"litres": 99999999999999999999}', "64 bits"),
    ],
)
def test_a_letter_is_not_replayed_with_a_payload_that_does_not_fit(
    payload: str, words: str, letter: str, stage: Stage, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = cli("dead", "replay", letter, "--data", "-", stdin=payload)
    assert told.exit_code == 1
    assert words in told.stderr and len(told.stderr.splitlines()) == 1
    assert stage.rows("select settled_at, edited from dead_letter") == [(None, None)]
    assert stage.rows("select status, rerun from run") == [("failed", 0)]


@pytest.mark.parametrize("id", ["", "no-uuid", LONG, "%s", "'; --", "a\0b", str(UUID(int=7))])
@pytest.mark.parametrize(
    "command",
    [("runs", "show"), ("why",), ("dead", "show"), ("dead", "replay"), ("runs", "cancel"), ("runs", "rerun")],
)
def test_an_id_that_is_none_is_told_in_words(
    command: tuple[str, ...], id: str, stage: Stage, cli: Cli
) -> None:
    told = cli(*command, id)
    assert "Traceback" not in told.output and told.output.strip()
    assert not isinstance(told.exception, BaseException) or isinstance(told.exception, SystemExit)


def test_nothing_that_steers_a_terminal_reaches_one(letter: str, stage: Stage, cli: Cli) -> None:
    [(run,)] = stage.rows("select id::text from run")
    for command in (
        ["dead", "list"],
        ["dead", "show", letter],
        ["runs"],
        ["runs", "show", run],
        ["why", run],
    ):
        shown = cli(*command).output
        assert "\x1b" not in shown and "\x07" not in shown, command
    assert "the label is" in cli("dead", "show", letter).output
