"""What should wake somebody does, and what should not does not."""

import json
from datetime import timedelta
from typing import Any

import pytest

from ops.embedded.process import free_port
from tests.ops.conftest import Cli
from tests.ops.doctor.conftest import House
from tests.support.waiting import eventually


def alarms(cli: Cli, status: int) -> dict[str, str]:
    """What `callboard alerts check` finds wrong, by name; it must exit so."""
    done = cli("alerts", "check", "--json")
    assert done.exit_code == status, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return {alert["name"]: alert["found"] for alert in found if alert["alarm"]}


def letter(house: House, reason: str) -> None:
    house.sql(
        "insert into dead_letter (id, reason, error, created_at) values (gen_random_uuid(), %(reason)s, '', clock())",
        reason=reason,
    )


def test_nothing_wakes_anybody_in_a_sound_one(house: House) -> None:
    house.worker("desk")
    for _ in range(30):
        house.run("completed")
    house.run("failed")
    letter(house, "unheard")

    assert alarms(house.cli, 0) == {}
    told = house.cli("alerts", "check").stdout
    assert "1 of 31 runs in 15 min" in told and "ALARM" not in told


def test_each_thing_gives_alarm_over_its_limit(house: House) -> None:
    house.set("ALERT_BACKLOG", "2")
    house.set("ALERT_LATE", "10")
    for _ in range(3):
        house.run("retrying", late=timedelta(seconds=30))
    for _ in range(19):
        house.run("completed")
    letter(house, "attempts exhausted")

    assert alarms(house.cli, 1) == {
        "backlog": "3 wait for a worker",
        "late": "a run is due for 30 s",
        "dead letters": "1 open",
        "workers": "0 alive",
    }

    house.set("ALERT_BACKLOG", "3")
    house.set("ALERT_LATE", "60")
    house.set("ALERT_DEAD_LETTERS", "1")
    house.worker("desk")
    house.run("failed")
    house.run("failed")
    assert alarms(house.cli, 1) == {"failures": "2 of 21 runs in 15 min"}


def test_events_in_queues_are_a_backlog_and_a_silent_worker_is_told(house: House) -> None:
    house.set("ALERT_BACKLOG", "4")
    house.worker("desk", silent=timedelta(minutes=1))
    with house.channel() as channel:
        for _ in range(5):
            channel.basic_publish("", house.queue("speak.speak"), b"{}")
    eventually(lambda: "backlog" in alarms(house.cli, 1))
    found = alarms(house.cli, 1)
    assert found["backlog"] == "5 wait for a worker"
    assert found["workers"].startswith("0 alive, silent: ")


def test_a_backlog_that_cannot_be_counted_is_no_small_one(house: House) -> None:
    house.worker("desk")
    house.set("APPS", "no_such_package")
    found = alarms(house.cli, 1)
    assert list(found) == ["backlog"]
    assert "no queue is known without the code" in found["backlog"]


@pytest.mark.parametrize("name", ["DATABASE_URL", "BROKER_URL"])
def test_a_server_that_does_not_answer_gives_alarm_itself(name: str, house: House) -> None:
    house.worker("desk")
    scheme = "postgresql" if name == "DATABASE_URL" else "amqp"
    house.set(name, f"{scheme}://ada:canary@127.0.0.1:{free_port()}/callboard")
    found = alarms(house.cli, 1)
    assert list(found) == ["postgresql" if name == "DATABASE_URL" else "rabbitmq"]
    assert "canary" not in str(found)
