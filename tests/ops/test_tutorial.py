"""The tutorial, done literally: in a copy of the checkout, with its commands and its files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.desk import Desk, working
from tests.support.runner import HOUSE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

PAGE = (HOUSE / "ops/docs/tutorial.md").read_text()
FILES = re.findall(r"^`(\S+)`:\n\n```(?:python|sql)\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```sh\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
ROOMS = ("schemas", "actors", "pipelines", "broker", "ops", "tests", "pyproject.toml", "README.md")
DONE_ELSEWHERE = ("./ops/run --once", "./ops/test")
"""Installing is tried by tests/ops/test_demo.py; tests are run by pytest itself here."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy, with the command on its path as `./ops/run` would put it there."""
    copy = tmp_path / "callboard"
    for room in ROOMS:
        source = HOUSE / room
        if source.is_dir():
            shutil.copytree(source, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / room)
    command = copy / ".venv/bin/callboard"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ops "$@"\n')
    command.chmod(0o755)
    return copy


def shell(checkout: Path, commands: str) -> str:
    """What they print. AssertionError at the first that fails."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    done = subprocess.run(
        ["sh", "-ec", 'export PATH="$PWD/.venv/bin:$PATH"\n' + commands],
        cwd=checkout, env={**others, "PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def without(commands: str, *beginnings: str) -> str:
    return "\n".join(line for line in commands.splitlines() if not line.startswith(beginnings))


def test_the_tutorial_makes_a_chain_of_three_actors_in_at_most_seven_files(
    checkout: Path, tmp_path: Path
) -> None:
    install, events, actors, dev, publish, look = COMMANDS
    assert dev.strip() == "callboard dev"
    before = files_of(checkout)

    installed = without(install, *DONE_ELSEWHERE)
    shell(checkout, f"{installed}\n{events}")
    shell(checkout, f"{installed}\n{without(actors, *DONE_ELSEWHERE)}")
    shell(checkout, f'"{sys.executable}" -m pytest -q tests/actors/gifts tests/pipelines/test_gift_thanks.py')
    with working(tmp_path, checkout=checkout) as desk:
        desk.shows("ready in")
        edit(desk)
        told = desk.shows("migrated gifts/0001_pre_gifts.sql", "reloaded in", since="ready in")
        assert "not loaded" not in told
        shown = shell(checkout, f"{publish}\n{seen(publish)}\n{look}")
        desk.shows("gifts.thank  completed", "gifts.sign  completed", "gifts.keep  completed")

    for actor in ("gifts.thank", "gifts.sign", "gifts.keep"):
        assert actor in shown
    made = {name for name in files_of(checkout) - before if not name.startswith("tests/")}
    assert len(made) <= 7, made


def seen(publish: str) -> str:
    """A person looks once the chain has passed by: here, once its last actor has completed."""
    assert "id=$(" in publish
    return 'for n in $(seq 100); do callboard runs show "$id" | grep -q gifts.keep && break; done'


def edit(desk: Desk) -> None:
    """Every file of the page, as its reader would save it."""
    assert [name.rpartition("/")[2] for name, _ in FILES] == [
        "thank.py",
        "sign.py",
        "0001_pre_gifts.sql",
        "keep.py",
    ]
    for name, text in FILES:
        path = desk.package / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    eventually(lambda: "reloaded in" in desk.shown(), 60)


def files_of(checkout: Path) -> set[str]:
    found = (
        path for room in ("schemas", "actors", "pipelines", "tests") for path in (checkout / room).rglob("*")
    )
    kept = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(checkout)) for path in kept if path.suffix in (".py", ".sql")}
