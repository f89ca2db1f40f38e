"""The list of commands: complete, told fast, and completed by a shell."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ops.cli.app import COMMANDS
from tests.ops.conftest import Cli
from tests.support.runner import HOUSE

FOLDER = Path(HOUSE) / "ops" / "cli"
NO_COMMANDS = {
    "__init__",
    "app",
    "cancelling",
    "completion",
    "letter",
    "marked",
    "screen",
    "session",
    "timeline",
}


def python(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=HOUSE,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def offered(line: str) -> list[str]:
    """What bash gets for Tab at the end of this line."""
    words = line.split(" ")
    return python(
        "from ops.cli import main; main()",
        _CALLBOARD_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
        CALLBOARD_DEMO="1",
    ).split()


def test_every_file_of_a_command_is_listed_and_no_other_name_is() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - NO_COMMANDS == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_tells_its_help_in_words(name: str, cli: Cli) -> None:
    told = cli(name, "--help")

    assert told.exit_code == 0, told.output
    assert "Usage: " in told.stdout
    assert name in told.stdout
    assert "completion" not in told.stdout


def test_the_list_is_told_without_importing_what_the_commands_need() -> None:
    heavy = python(
        "import sys; from ops.cli import app; print(*({'psycopg', 'dramatiq', 'pydantic', 'pika'} & set(sys.modules)))"
    )

    assert heavy.strip() == ""


def test_a_slip_of_the_pen_is_answered_with_the_nearest_command(cli: Cli) -> None:
    told = cli("publsh")

    assert told.exit_code == 2
    assert "Did you mean 'publish'?" in told.stderr


def test_a_shell_completes_commands_and_the_names_that_are_loaded() -> None:
    assert {"worker", "publish"} <= set(offered("callboard "))
    assert offered("callboard dead re") == ["replay"]
    assert "page-scan" in offered("callboard pipelines show ")
    assert offered("callboard publish page.scan.r") == ["page.scan.requested"]
    assert "orders.accept" in offered("callboard worker --actors ")


def test_the_version_is_the_installed_one(cli: Cli) -> None:
    assert cli("--version").stdout == f"callboard {version('callboard')}\n"
