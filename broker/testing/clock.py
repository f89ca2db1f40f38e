"""A clock that tests move: it replaces the one SQL function that all due times are compared with."""

from collections.abc import Callable
from datetime import datetime, timedelta

from broker.database import Database

_INSTALL = """
create table if not exists test_clock (shift interval not null);
insert into test_clock select interval '0' where not exists (select from test_clock);
create or replace function clock() returns timestamptz language sql volatile as
'select clock_timestamp() + (select shift from test_clock)';"""
_ADVANCE = "update test_clock set shift = shift + %s"
_MOVE = "update test_clock set shift = %s - clock_timestamp()"
_REMOVE = "create or replace function clock() returns timestamptz language sql volatile as 'select clock_timestamp()'"


class VirtualClock:
    """Runs beside real time, `advance` ahead of it. Heartbeats and leases keep real time: nobody dies of an advance."""

    def __init__(self, database: Database, on_advance: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._on_advance = on_advance
        with database.once("test clock") as connection:
            connection.execute(_INSTALL)

    def advance(self, by: timedelta) -> None:
        """Let time pass. What has become due is found by the next sweep."""
        with self._database.once("test clock") as connection:
            connection.execute(_ADVANCE, (by,))
        self._on_advance()

    def move_to(self, moment: datetime) -> None:
        """It is this moment now, and goes on from there. Before the engine starts: going back, it would wait for what was due."""
        with self._database.once("test clock") as connection:
            connection.execute(_MOVE, (moment,))

    def remove(self) -> None:
        """Back to real time."""
        with self._database.once("test clock") as connection:
            connection.execute(_REMOVE)
