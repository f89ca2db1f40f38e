"""What only the `postgres` transport promises: rows, holds and restarts."""

import time
from datetime import timedelta

from broker.database import Database
from broker.transports.postgres import RELEASE_HELD, PostgresDelivery, PostgresTransport, route
from tests.support.transports import Inbox, Wire, has_depth, message, numbered, publish
from tests.support.waiting import eventually

PAGES = "callboard.pages"
ORDERS = "callboard.orders"


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.once("test") as connection:
        return connection.execute("select queue, held_by, redelivered from delivery order by id").fetchall()


class TestSeveralProcesses:
    def test_ten_thousand_messages_are_shared_and_each_is_delivered_once(
        self, wire: Wire[PostgresTransport], transport: PostgresTransport
    ) -> None:
        first, second = Inbox(acks=True), Inbox(acks=True)
        transport.subscribe([PAGES], first, prefetch=20)
        wire.transport().subscribe([PAGES], second, prefetch=20)
        for start in range(0, 10_000, 100):
            publish(transport, *numbered(100, start=start))
        eventually(lambda: len(first.deliveries) + len(second.deliveries) >= 10_000, 60)
        assert sorted(map(int, first.bodies + second.bodies)) == list(range(10_000))
        assert first.deliveries
        assert second.deliveries
        assert has_depth(transport, PAGES, 0)

    def test_another_process_is_notified_of_a_publish(
        self, wire: Wire[PostgresTransport], transport: PostgresTransport
    ) -> None:
        inbox = Inbox(acks=True)
        wire.transport().subscribe([PAGES], inbox, prefetch=5)
        publish(transport, message("page.scanned", b"first"))
        inbox.wait_for(1)
        publish(transport, message("page.scanned", b"second"))
        assert [delivery.body for delivery in inbox.wait_for(2)] == [b"first", b"second"]

    def test_another_process_is_notified_of_what_is_given_back(
        self, wire: Wire[PostgresTransport], transport: PostgresTransport
    ) -> None:
        giver, inbox, heir = wire.transport(), Inbox(), Inbox(acks=True)
        giver.subscribe([PAGES], inbox, prefetch=5)
        publish(transport, message("page.scanned"), message("page.scanned"))
        one, _ = inbox.wait_for(2)
        transport.subscribe([PAGES], heir, prefetch=5)
        giver.unsubscribe()
        one.give_back()
        heir.wait_for(1)
        giver.close()
        assert [delivery.redelivered for delivery in heir.wait_for(2)] == [True, True]

    def test_rows_of_a_dead_worker_are_freed_by_its_id(
        self, database: Database, transport: PostgresTransport
    ) -> None:
        inbox = Inbox()
        transport.subscribe([PAGES], inbox, prefetch=5)
        publish(transport, *numbered(2))
        inbox.wait_for(2)
        transport.unsubscribe()
        with database.once("test") as connection:
            freed = connection.execute(RELEASE_HELD, {"worker": transport.worker_id}).fetchall()
            assert freed == [(PAGES,), (PAGES,)]
        assert rows(database) == [(PAGES, None, True)] * 2


class TestJournal:
    def test_rows_routed_in_a_foreign_transaction_are_delivered_after_its_nudge(
        self, database: Database, wire: Wire[PostgresTransport], transport: PostgresTransport
    ) -> None:
        here, there = Inbox(acks=True), Inbox(acks=True)
        transport.subscribe([PAGES], here, prefetch=5)
        wire.transport().subscribe([ORDERS], there, prefetch=5)
        batch = [message("page.scanned"), message("order.placed"), message("nobody.hears")]
        with database.connect("test", autocommit=False) as connection:
            reached = route(connection.cursor(), batch, "callboard.unheard")
            connection.commit()
        assert reached == {PAGES, ORDERS, "callboard.unheard"}
        transport.nudge(reached)
        assert here.wait_for(1)[0].queue == PAGES
        assert there.wait_for(1)[0].queue == ORDERS

    def test_a_rolled_back_route_leaves_nothing(
        self, database: Database, transport: PostgresTransport
    ) -> None:
        with database.connect("test", autocommit=False) as connection:
            route(connection.cursor(), numbered(3), "callboard.unheard")
            connection.rollback()
        assert rows(database) == []

    def test_nothing_is_routed_without_messages(self, database: Database) -> None:
        with database.once("test") as connection:
            assert route(connection.cursor(), [], "callboard.unheard") == set()

    def test_an_ack_after_the_claim_has_deleted_the_row_costs_no_statement(
        self, database: Database, transport: PostgresTransport
    ) -> None:
        inbox = Inbox()
        transport.subscribe([PAGES], inbox, prefetch=1)
        publish(transport, *numbered(2))
        delivery = inbox.wait_for(1)[0]
        assert isinstance(delivery, PostgresDelivery)
        with database.once("test") as connection:
            connection.execute("delete from delivery where id = %s", (delivery.row_id,))
        before = transport.statements
        delivery.mark_deleted()
        delivery.ack()
        inbox.wait_for(2)
        assert transport.statements == before + 1

    def test_a_second_settlement_does_nothing(self, database: Database, transport: PostgresTransport) -> None:
        inbox = Inbox()
        transport.subscribe([PAGES], inbox, prefetch=5)
        publish(transport, *numbered(2))
        one, two = inbox.wait_for(2)
        one.ack()
        one.ack()
        one.give_back()
        two.give_back()
        two.ack()
        assert inbox.wait_for(3)[2].body == two.body
        eventually(lambda: rows(database) == [(PAGES, transport.worker_id, True)])


class TestPrefetch:
    def test_each_queue_has_room_of_its_own(self, database: Database, transport: PostgresTransport) -> None:
        inbox = Inbox()
        transport.subscribe([ORDERS, PAGES], inbox, prefetch=3)
        publish(transport, *numbered(10, "order.placed"), *numbered(10, "page.scanned"))
        inbox.wait_for(6)
        assert [delivery.body for delivery in inbox.of(ORDERS)] == [b"0", b"1", b"2"]
        assert [delivery.body for delivery in inbox.of(PAGES)] == [b"0", b"1", b"2"]
        assert sum(1 for row in rows(database) if row[1] is not None) == 6

    def test_a_full_queue_with_a_long_backlog_starves_nobody(self, transport: PostgresTransport) -> None:
        stuck, quick = Inbox(), Inbox(acks=True)
        transport.subscribe([ORDERS], stuck, prefetch=1)
        transport.subscribe([PAGES], quick, prefetch=1)
        publish(transport, *numbered(1000, "order.placed"))
        stuck.wait_for(1)
        publish(transport, *numbered(50))
        quick.wait_for(50)
        assert len(stuck.deliveries) == 1
        assert transport.depth(ORDERS) == 999

    def test_a_full_or_idle_consumer_asks_nothing(
        self, wire: Wire[PostgresTransport], transport: PostgresTransport
    ) -> None:
        full, inbox = wire.transport(), Inbox()
        full.subscribe([PAGES], inbox, prefetch=2)
        publish(transport, *numbered(2))
        held = inbox.wait_for(2)
        quick = Inbox(acks=True)
        transport.subscribe([ORDERS], quick, prefetch=2)
        before = full.statements
        for number in range(1, 101):
            publish(transport, message("page.scanned"))
            publish(transport, message("order.placed"))
            quick.wait_for(number)
        assert full.statements == before
        # One delete and one or two fetches a message; an idle loop would add thousands.
        assert transport.statements <= 350
        held[0].ack()
        inbox.wait_for(3)

    def test_an_idle_consumer_asks_once_a_poll(
        self, database: Database, transport: PostgresTransport
    ) -> None:
        poller = PostgresTransport(database, poll=timedelta(milliseconds=50))
        inbox = Inbox(acks=True)
        poller.subscribe([PAGES], inbox, prefetch=2)
        try:
            with database.connect("test", autocommit=False) as connection:
                route(connection.cursor(), numbered(1), "callboard.unheard")
            inbox.wait_for(1)
            started = poller.statements
            since = time.monotonic()
            eventually(lambda: poller.statements >= started + 10)
            assert time.monotonic() - since >= 9 * 0.05
        finally:
            poller.close()
