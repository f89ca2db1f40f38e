"""The `postgres` transport when the server goes away, hangs or refuses, and how it reads its tables."""

import os
import signal
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from broker.database import Database
from broker.errors import ConfigurationError, PublishError, TransportUnavailableError
from broker.transports.postgres import PostgresTransport, pending
from broker.transports.postgres.backoff import LONGEST, Backoff
from broker.transports.postgres.transport import notification_channel
from ops.embedded.postgres import EmbeddedPostgres
from tests.support.transports import Inbox, Wire, has_depth, message, numbered, publish
from tests.support.waiting import eventually

PAGES = "callboard.pages"
ORDERS = "callboard.orders"


class TestOutages:
    def test_a_restart_in_the_middle_loses_nothing(
        self, postgres: EmbeddedPostgres, transport: PostgresTransport, wire: Wire[PostgresTransport]
    ) -> None:
        inbox = Inbox(acks=True)
        wire.transport().subscribe([PAGES], inbox, prefetch=10)
        sent = [transport.publish([wired]) for wired in numbered(1000)]
        inbox.wait_for(100)
        postgres.kill()
        sent += [transport.publish([wired]) for wired in numbered(200, start=1000)]
        postgres.start()
        for future in sent:
            assert future.exception(timeout=20) is None
        eventually(lambda: {int(body) for body in inbox.bodies} == set(range(1200)), 30)
        assert has_depth(transport, PAGES, 0)

    def test_rows_in_hand_stay_in_hand_over_a_restart(
        self, postgres: EmbeddedPostgres, database: Database, transport: PostgresTransport
    ) -> None:
        inbox = Inbox()
        transport.subscribe([PAGES], inbox, prefetch=3)
        publish(transport, *numbered(4))
        first = inbox.wait_for(3)[0]
        # A publish waits for the disk, and with it goes whatever was committed before it.
        publish(transport, message("order.placed"))
        postgres.kill()
        postgres.start()
        first.ack()
        assert inbox.wait_for(4)[3].body == b"3"
        assert inbox.bodies == [b"0", b"1", b"2", b"3"]
        assert all(delivery.alive for delivery in inbox.deliveries)

    def test_rows_held_without_our_knowing_are_given_back_at_the_next_connect(
        self, postgres: EmbeddedPostgres, database: Database, transport: PostgresTransport
    ) -> None:
        """A fetch whose answer was lost with its connection: the table says ours, nobody has it."""
        publish(transport, message("page.scanned", b"orphan"))
        with database.once("test") as connection:
            connection.execute("update delivery set held_by = %s", (transport.worker_id,))
        inbox = Inbox(acks=True)
        transport.subscribe([PAGES], inbox, prefetch=3)
        (delivery,) = inbox.wait_for(1)
        assert (delivery.body, delivery.redelivered) == (b"orphan", True)

    def test_a_publish_fails_in_bounded_time_while_the_server_hangs(
        self, postgres: EmbeddedPostgres, database: Database, transport: PostgresTransport
    ) -> None:
        publish(transport, message("page.scanned"))
        with database.once("test") as connection:
            found = connection.execute(
                "select pid from pg_stat_activity where application_name = 'callboard publish'"
            ).fetchall()
        for (pid,) in found:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(PublishError, match="not confirmed"):
                transport.publish([message("page.scanned")]).result(timeout=8)
        finally:
            for (pid,) in found:
                os.kill(pid, signal.SIGCONT)
        publish(transport, message("page.scanned"))

    def test_without_a_server_publishing_fails_loudly_and_declaring_says_why(
        self, wire: Wire[PostgresTransport]
    ) -> None:
        transport = PostgresTransport(Database("postgresql://nobody@127.0.0.1:9/none"))
        future = transport.publish([message("page.scanned")])
        with pytest.raises(TransportUnavailableError):
            transport.declare(wire.topology())
        with pytest.raises(TransportUnavailableError):
            transport.depth(PAGES)
        transport.close(timedelta(0))
        with pytest.raises(PublishError):
            future.result(timeout=1)


class TestRefusals:
    def test_only_the_batch_that_postgresql_refuses_fails(self, transport: PostgresTransport) -> None:
        good = [transport.publish([wired]) for wired in numbered(20)]
        bad = [
            transport.publish([message("page.scanned"), message("page.scanned", note="a\0b")]),
            transport.publish([message("page.\0scanned")]),
            transport.publish([message("page.scanned", note="\ud800")]),
            transport.publish([message("page.\ud800")]),
        ]
        good += [transport.publish([wired]) for wired in numbered(20)]
        assert [future.exception(timeout=20) for future in good] == [None] * 40
        for future in bad:
            with pytest.raises(PublishError, match="refused") as refusal:
                future.result(timeout=20)
            assert "a\\u0000b" not in str(refusal.value)
        assert transport.depth(PAGES) == 40

    def test_a_closed_transport_refuses(self, transport: PostgresTransport) -> None:
        transport.close()
        with pytest.raises(PublishError, match="closed"):
            transport.publish([message("page.scanned")]).result(timeout=1)

    def test_after_a_fork_the_transport_refuses_and_a_new_one_works(
        self, database: Database, transport: PostgresTransport
    ) -> None:
        """The thread that commits stays behind in the parent: a publish would have waited for nobody."""
        publish(transport, message("page.scanned"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                transport.publish([message("page.scanned")])
            except ConfigurationError:
                own = PostgresTransport(database)
                publish(own, *numbered(20))
                own.close()
                code = 0
            finally:
                os._exit(code)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        publish(transport, message("page.scanned"))
        assert has_depth(transport, PAGES, 22)

    def test_more_than_fits_into_memory_is_refused_at_once(
        self, database: Database, transport: PostgresTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pending, "UNCONFIRMED_BYTES", 10)
        with database.connect("test", autocommit=False) as connection:
            connection.execute("lock table delivery")
            first = transport.publish([message("page.scanned", b"more than ten bytes")])
            with pytest.raises(PublishError, match="too many unconfirmed"):
                transport.publish([message("page.scanned")]).result(timeout=1)
            connection.rollback()
        assert first.exception(timeout=20) is None
        publish(transport, message("page.scanned"))


def test_bindings_of_queues_outside_the_topology_stay(
    database: Database, wire: Wire[PostgresTransport], transport: PostgresTransport
) -> None:
    with database.once("test") as connection:
        connection.execute("insert into binding values ('order.placed', 'another.application')")
    transport.declare(wire.topology(orders=["order.cancelled"]))
    with database.once("test") as connection:
        found = connection.execute("select event_type, queue from binding order by 1, 2").fetchall()
    assert found == [
        ("order.cancelled", ORDERS),
        ("order.placed", "another.application"),
        ("page.scanned", PAGES),
    ]


def test_the_delay_between_tries_doubles_to_five_seconds_and_starts_again() -> None:
    backoff = Backoff()
    delays = [backoff.next() for _ in range(30)]
    assert timedelta(milliseconds=50) <= delays[0] <= timedelta(milliseconds=100)
    assert all(LONGEST / 2 <= delay <= LONGEST for delay in delays[10:])
    backoff.reset()
    assert backoff.next() <= timedelta(milliseconds=100)


@pytest.mark.parametrize("schema", ["callboard", "s" * 63, "Ünïcode" * 8])
def test_a_notification_channel_fits_the_limit_of_postgresql(database: Database, schema: str) -> None:
    channel = notification_channel(schema)
    assert channel.endswith("_delivery")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        connection.execute("select pg_notify(%s, 'x')", (channel,))
        assert [heard.channel for heard in connection.notifies(timeout=5, stop_after=1)] == [channel]


def test_the_plan_of_a_fetch_reads_the_index_and_nothing_else(
    database: Database, transport: PostgresTransport
) -> None:
    """Whatever the statistics say: they are taken here from an empty table."""
    from broker.transports.postgres.fetch import FETCH, SESSION

    with database.once("test") as connection:
        connection.execute("analyze delivery")
    publish(transport, *numbered(2000), *numbered(2000, "order.placed"))
    arguments = {"queues": [PAGES, ORDERS], "rooms": [3, 4], "worker": uuid4()}
    with database.connect("test") as connection:
        connection.execute(SESSION)
        plan = "\n".join(row[0] for row in connection.execute(f"explain {FETCH}", arguments))
    assert "delivery_ready" in plan
    assert "Seq Scan on delivery" not in plan
