"""`callboard dev`: a chain is told as it happens, saved code is taken up, broken code is not."""

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from broker import Publisher
from broker.database import Database
from broker.transports.postgres import PostgresTransport
from schemas import Event
from tests.support.desk import LIMIT, working, write_package
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

Hand = Callable[[str], str]


class ParcelHanded(Event, type="parcel.handed"):
    """As the package of these tests declares it, which only the workers import."""

    to: str


POST = """
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict
from broker import EnvironmentSettings, Salla, Secrets, Webhook, WebhookDelivery
from parlour.schemas import ParcelHanded

class PostSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix="CALLBOARD_POST_")
    secrets: SecretStr = SecretStr("")

def handed(delivery: WebhookDelivery) -> ParcelHanded:
    return ParcelHanded(to=delivery.payload["to"])

post = Webhook("post", Salla(Secrets(PostSettings, "secrets")), handed)
"""


@pytest.fixture
def hand(dsn: str) -> Hand:
    def hand(to: str) -> str:
        database = Database(dsn)
        transport = PostgresTransport(database)
        try:
            return Publisher(transport, "test", database).publish(ParcelHanded(to=to))
        finally:
            transport.close()

    return hand


def processes(mark: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if mark in line]


def test_a_chain_is_told_with_its_steps_its_retry_and_the_next_event(
    tmp_path: Path, dsn: str, hand: Hand
) -> None:
    write_package(tmp_path)
    with working(tmp_path, "--no-page", dsn=dsn) as desk:
        desk.shows("ready in")
        assert "status page" not in desk.shown()

        hand("a-secret-name")
        told = desk.shows("parcels.enjoy  completed", "│ old joy")

        lines = [
            re.sub(r"^\S+ \S{4}|\d+ ms", "", line) for line in told.splitlines() if re.match(r"\d\d:", line)
        ]
        assert [line for line in lines if "cut-the" not in line] == [
            "  parcel.handed",
            "    parcels.open  attempt 1 failed  ValueError: the knife is blunt  retry after ",
            "    → parcel.opened",
            "    parcels.open  completed in ",
            "      parcels.enjoy  completed in ",
        ]
        assert "parcels.open  step done  cut-the-string" in told
        assert "retry after 50 ms" in told
        assert "a-secret-name" not in told

        hand("nobody")
        given_up = desk.shows("dead letter: not retriable  callboard dead show")
        assert "NonRetriable: nobody lives here  given up" in given_up


def test_broken_code_is_told_with_its_line_and_the_old_goes_on_until_it_is_mended(
    tmp_path: Path, dsn: str, hand: Hand
) -> None:
    write_package(tmp_path)
    with working(tmp_path, "--no-page", dsn=dsn) as desk:
        desk.shows("ready in")

        desk.change("actors/parcels/enjoy.py", 'print("old joy")', 'print("new joy"')
        desk.shows("parlour/actors/parcels/enjoy.py:7: SyntaxError", "not loaded: the last good code goes on")
        hand("ada")
        desk.shows("│ old joy", "parcels.enjoy  completed", since="not loaded")

        sql = desk.package / "actors/parcels/sql"
        sql.mkdir()
        (sql / "0001_pre_parcels.sql").write_text("create table opened (parcel text)")
        desk.change("actors/parcels/enjoy.py", 'print("new joy"', 'print("new joy")')
        desk.shows("migrated parcels/0001_pre_parcels.sql", "reloaded in", since="not loaded")
        hand("ada")
        told = desk.shows("│ new joy", "parcels.enjoy  completed", since="reloaded in")
        assert "old joy" not in told


def test_it_starts_with_code_that_does_not_boot_and_takes_up_the_first_that_does(
    tmp_path: Path, dsn: str
) -> None:
    write_package(tmp_path)
    wrong = tmp_path / "parlour/actors/parcels/enjoy.py"
    wrong.write_text(wrong.read_text().replace("@actor()", "@actor(retyr=3)"))
    with working(tmp_path, "--no-page", dsn=dsn) as desk:
        desk.shows("enjoy.py:5: @actor got an unknown option 'retyr'", "not loaded: nothing runs yet")

        desk.change("actors/parcels/enjoy.py", "@actor(retyr=3)", "@actor()")

        desk.shows("ready in", since="not loaded")


def test_without_a_database_it_brings_its_own_serves_its_page_and_takes_all_of_it_along(
    tmp_path: Path,
) -> None:
    write_package(tmp_path)
    with working(tmp_path) as desk:
        shown = desk.shows("PostgreSQL started", "status page: ", "ready in")
        [page] = re.findall(r"status page: (\S+)", shown)
        assert page.startswith("http://127.0.0.1:")
        assert "No runs yet" in httpx.get(page).text
        assert "CALLBOARD_DATABASE_URL" in (tmp_path / "state/env").read_text()
        assert processes(str(tmp_path / "state/postgres"))

        desk.process.send_signal(signal.SIGINT)

        assert desk.process.wait(LIMIT.total_seconds()) == 0
        assert desk.shown().endswith("stopped\n")
        eventually(lambda: not processes(str(tmp_path / "state/postgres")))


def test_webhooks_are_answered_by_the_code_that_was_saved_last(tmp_path: Path, dsn: str) -> None:
    """A caller is never refused meanwhile; broken code leaves what was there."""
    write_package(tmp_path)
    with working(tmp_path, dsn=dsn) as desk:
        [page] = re.findall(r"status page: (\S+)", desk.shows("status page: ", "ready in"))
        assert httpx.post(f"{page}webhooks/post", content=b"{}").status_code == 404
        desk.write("pipelines/__init__.py", "")
        desk.write("pipelines/post.py", POST)
        desk.shows("reloaded in", since="pipelines/post.py")
        # Its secret is not set: it is there, and shut.
        eventually(lambda: httpx.post(f"{page}webhooks/post", content=b"{}").status_code != 404, LIMIT)
        assert httpx.post(f"{page}webhooks/post", content=b"{}").status_code in (401, 503)

        desk.change("actors/parcels/enjoy.py", "@actor()", "@actor(retyr=3)")
        desk.shows("not loaded")
        assert httpx.post(f"{page}webhooks/post", content=b"{}").status_code in (401, 503)


def test_an_app_that_is_nowhere_is_told(tmp_path: Path, dsn: str) -> None:
    with working(tmp_path, "--no-page", dsn=dsn) as desk:
        assert desk.process.wait(LIMIT.total_seconds()) == 1
        assert "error: none of CALLBOARD_APPS=parlour is a package here" in desk.shown()
        assert "Traceback" not in desk.shown()
