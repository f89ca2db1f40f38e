"""The pool of a process is opened in that process."""

import os

from psycopg import Connection
from psycopg_pool import ConnectionPool

from broker.database import Database
from broker.migrate import engine_migrations, migrate

QUERIES = 200


def test_a_pool_made_before_a_fork_gives_each_process_its_own_rows(dsn: str) -> None:
    """psycopg_pool knows nothing of forks: with a pool open before, a child got another child's rows in 64 of 200 queries."""
    database = Database(dsn)
    migrate(database, engine_migrations(database.schema))
    pool = database.pool("test", 4)
    children: list[int] = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if gives_own_rows(pool) else 2
            finally:
                os._exit(code)
        children.append(child)

    assert gives_own_rows(pool)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def gives_own_rows(pool: ConnectionPool[Connection]) -> bool:
    wanted = [(os.getpid(), number) for number in range(QUERIES)]
    with pool:
        return [answer(pool, pair) for pair in wanted] == wanted


def answer(pool: ConnectionPool[Connection], pair: tuple[int, int]) -> tuple[object, ...] | None:
    with pool.connection() as connection:
        return connection.execute("select %s::int, %s::int", pair).fetchone()
