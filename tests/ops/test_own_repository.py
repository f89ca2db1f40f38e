"""A repository of one's own, named in CALLBOARD_APPS: checked, migrated, performed and typed like this one."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from broker.database import Database
from tests.support.acme import WRONG_LINK, write_repository
from tests.support.installation import Installation
from tests.support.waiting import eventually

TOOLS = Path(sys.executable).parent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "acme-events")


@pytest.fixture(params=["postgres", "rabbitmq"])
def acme(request: pytest.FixtureRequest, repository: Path, dsn: str, tmp_path: Path) -> Installation:
    """Not migrated yet; on RabbitMQ in a namespace of its own."""
    namespace = f"acme_{secrets.token_hex(3)}"
    amqp = str(request.getfixturevalue("rabbit").url) if request.param == "rabbitmq" else ""
    environment = {
        "CALLBOARD_APPS": "acme",
        "CALLBOARD_DATABASE_URL": dsn,
        "CALLBOARD_BROKER_URL": amqp,
        "CALLBOARD_NAMESPACE": namespace,
        "PYTHONPATH": str(repository),
    }
    return Installation(environment, tmp_path, Database(dsn, namespace))


def test_its_chain_is_checked_migrated_published_and_performed(acme: Installation) -> None:
    checked = acme.callboard("check")
    assert "2 actors, 2 events, 1 pipelines: no faults" in checked
    assert "pages.scan" not in checked
    assert "0001_pre_tins.sql" in acme.callboard("migrate", "--plan")
    acme.callboard("migrate")

    with acme.workers():
        event_id = acme.publish("tin.filled", number=7)
        eventually(lambda: acme.rows("select number, words from tins.shelf") == [(7, "tin 7")], 30)
        done = "select count(*) from run where status = 'completed'"
        eventually(lambda: acme.one(done) == 2, 30)

    shown = acme.callboard("runs", "show", event_id)
    assert "tins.label" in shown
    assert "tins.shelve" in shown


def typed(tool: str, repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(TOOLS / tool), *arguments], cwd=repository, capture_output=True, text=True, check=False
    )


def test_type_checkers_of_that_repository_see_a_wrong_link_on_its_line(repository: Path) -> None:
    assert typed("mypy", repository, "acme").returncode == 0, typed("mypy", repository, "acme").stdout
    (repository / "acme/pipelines/tin_line.py").write_text(WRONG_LINK)

    mypy = typed("mypy", repository, "--no-pretty", "acme")
    pyright = typed("basedpyright", repository, "--outputjson", "--pythonpath", sys.executable, "acme")

    line = next(n for n, text in enumerate(WRONG_LINK.splitlines(), 1) if "label | label" in text)
    assert f"tin_line.py:{line - 1}: error" in mypy.stdout or f"tin_line.py:{line}: error" in mypy.stdout
    faults = [
        fault for fault in json.loads(pyright.stdout)["generalDiagnostics"] if fault["severity"] == "error"
    ]
    assert [Path(fault["file"]).name for fault in faults] == ["tin_line.py"]


def test_new_files_go_into_that_repository(repository: Path, acme: Installation) -> None:
    told = acme.callboard("new", "event", "tin.opened", "number:int", "--domain", "tins", "--app", "acme")
    assert "wrote acme/schemas/tins.py (changed)" in told
    acme.callboard("new", "actor", "tins.open_up", "--on", "tin.opened", "--app", "acme")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=repository, env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert typed("mypy", repository, "acme").returncode == 0, typed("mypy", repository, "acme").stdout
    assert typed("ruff", repository, "check", ".").returncode == 0
