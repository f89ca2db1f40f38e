"""The package of models: built the same each time, and a stranger who has nothing else publishes with it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydantic import SecretStr

from broker.event_keys import create
from ops.contract.wheel import build
from ops.web.server import serving
from tests.end_to_end.conftest import amqp_url, on_rabbitmq, site
from tests.end_to_end.stories import PATIENCE
from tests.support.installation import Installation
from tests.support.runner import HOUSE
from tests.support.waiting import eventually

__all__ = ["amqp_url", "on_rabbitmq", "site"]

STRANGER = """
import sys
from uuid import UUID
from callboard_events import InvalidPayload
from callboard_events.notifications import NotificationSend
from callboard_events.publisher import AmqpPublisher, HttpPublisher, PublishError
event = NotificationSend(user_id="ada", title="From afar", message=sys.argv[1], type="info")
url, *key = sys.argv[2:]
publisher = HttpPublisher(url, key[0], "afar") if key else AmqpPublisher(url, "afar")
print(publisher.publish(event, id=sys.argv[1]))
if isinstance(publisher, HttpPublisher):
    try:
        HttpPublisher(url, "wrong", "afar").publish(event)
    except PublishError as error:
        print(error.status)
assert not {"schemas", "broker", "dramatiq", "psycopg"} & {name.partition(".")[0] for name in sys.modules}
"""


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an installer unpacks it."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build(folder)) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def as_the_page_says(site: Path, address: str, key: str) -> None:
    page = (HOUSE / "ops/docs/publishing.md").read_text()
    [snippet] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
        if "callboard_events" in block
    ]
    run(site, f"key = {key!r}\n" + snippet.replace("http://127.0.0.1:8094", address.rstrip("/")))


def as_stranger(site: Path, *arguments: str) -> list[str]:
    return run(site, STRANGER, *arguments).split()


def run(site: Path, script: str, *arguments: str) -> str:
    """In a process that has the wheel and what it needs."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{script}", *arguments],
        cwd=site, env={}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_models_are_the_same_wheel(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    assert one.name == other.name and one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = archive.namelist()
        [metadata] = [archive.read(name).decode() for name in names if name.endswith("METADATA")]
    assert "callboard_events/py.typed" in names and "Requires-Dist: pydantic" in metadata
    assert not any("registry" in line.lower() and "http" in line for line in metadata.splitlines())


@pytest.mark.end_to_end
def test_a_stranger_publishes_with_it_over_http_and_over_amqp(
    installed_wheel: Path, on_rabbitmq: Installation, amqp_url: str
) -> None:
    from broker import load_settings

    with on_rabbitmq.database.once("test") as connection:
        _, key = create(connection, "afar", "ada", types=["notification.*"], sources=["afar", "shop"])
    settings = load_settings().model_copy(
        update={"database_url": SecretStr(on_rabbitmq.environment["CALLBOARD_DATABASE_URL"])}
    )
    with on_rabbitmq.workers(), serving(settings) as address:
        assert as_stranger(installed_wheel, "by-http", address, key) == ["by-http", "401"]
        assert as_stranger(installed_wheel, "by-amqp", amqp_url) == ["by-amqp"]
        as_the_page_says(installed_wheel, address, key)
        messages = "select message from notifications.notification order by 1"
        eventually(
            lambda: [m for (m,) in on_rabbitmq.rows(messages)] == ["From the shop", "by-amqp", "by-http"],
            PATIENCE,
        )
