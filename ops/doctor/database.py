"""PostgreSQL: clock, rights, schema, sessions, room."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import psycopg

from broker import Settings
from broker.migrate import pending
from ops.access.postgres import ROLES, name_of
from ops.doctor.finding import Remark, Remarks, fail, ok, rough, some, warn
from ops.doctor.patient import Patient
from ops.reach import reason_of

APART = timedelta(seconds=2)
FAR_APART = timedelta(minutes=1)
"""Events are stamped by the host and judged by the database: beyond this an old one is new, or a new one old."""

_OUR_TIME = "select clock()"
_ITS_TIME = "select clock_timestamp()"
_RIGHTS = """
select current_user, has_database_privilege(current_database(), 'create'), n.oid is null or has_schema_privilege(n.oid, 'usage'),
       n.oid is null or has_schema_privilege(n.oid, 'create'),
       has_function_privilege('pg_terminate_backend(integer, bigint)', 'execute'),
       (select array_agg(rolname::text) from pg_roles
        where rolname = any(%(roles)s) and pg_has_role(oid, 'member')
          and not (select rolsuper from pg_roles where rolname = current_user))
from (select to_regnamespace(%(schema)s) as oid) n"""
_UNWRITABLE = """
select coalesce(array_agg(oid::regclass::text order by relname), '{}')
from pg_class
where relnamespace = any(select to_regnamespace(name) from unnest(%(schemas)s::text[]) as name) and relkind in ('r', 'p')
  and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
           and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))"""
_STRANGERS = """
select coalesce(array_agg(distinct usename::text), '{}') from pg_stat_activity
where datname = current_database() and starts_with(application_name, %(label)s || ' ')
  and not pg_has_role(usesysid, 'member') and not pg_has_role('pg_signal_backend', 'member')"""
_LEDGER = "select room, name from migration where room = any(%(rooms)s) order by room, name"
_ROOM = """
select least(current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
             - (select count(*) from pg_stat_activity where backend_type = 'client backend'),
             (select case when datconnlimit < 0 then null
                     else datconnlimit - (select count(*) from pg_stat_activity a where a.datid = d.oid) end
              from pg_database d where datname = current_database()))"""
_BACKEND = "select pg_backend_pid()"


def clock(patient: Patient) -> Remarks:
    """The engine's own clock, which a test or a mistake may have moved, against this host's."""
    before = datetime.now(UTC)
    (time,) = patient.one(_ITS_TIME if "tables" in patient.trouble else _OUR_TIME)
    assert isinstance(time, datetime)
    trip = datetime.now(UTC) - before
    apart = max(abs(time - before - trip / 2) - trip / 2, timedelta(0))
    found = f"database and host are {rough(apart)} apart"
    if apart < APART:
        yield ok(f"database and host agree within {rough(APART)}")
    elif apart < FAR_APART:
        yield warn(found, "let both machines follow NTP")
    else:
        yield fail(
            found, "let both machines follow NTP; look whether somebody has replaced the function clock()"
        )


def permissions(patient: Patient) -> Remarks:
    """Of the role that we connect as: whether a worker could do its part with it, unless it is one that is for less."""
    namespace = patient.settings.namespace
    facts: dict[str, object] = {
        "schema": _quoted(namespace),
        "schemas": [_quoted(name) for name in (namespace, *(name for name, _ in patient.app.domains))],
        "label": patient.settings.database.label,
        "roles": [name_of(each, namespace) for each in ROLES],
    }
    user, create, use, make, terminate, member_of = patient.one(_RIGHTS, facts)
    role = f"role {user}"
    ours = member_of if isinstance(member_of, list) else []
    worker = name_of("worker", namespace)
    if ours and worker not in ours:
        yield ok(f"{role} is a member of {some(ours)}, which no worker is to use")
        return
    wrong = list[Remark]()
    if not ours and not (create or (use and make and "tables" not in patient.trouble)):
        wrong.append(
            warn(f"{role} may not create schemas", "migrate with a role that may: grant create on database")
        )
    if not use:
        wrong.append(
            fail(f"{role} may not use schema {namespace}", f"grant usage on schema {namespace} to {user}")
        )
    (tables,) = patient.one(_UNWRITABLE, facts)
    if isinstance(tables, list) and tables:
        wrong.append(
            fail(
                f"{role} may not write {some(tables)}",
                "`callboard setup postgres`, as their owner, gives a worker's rights",
            )
        )
    (strangers,) = patient.one(_STRANGERS, facts)
    if not terminate or strangers:
        whose = f" of {some(strangers)}" if isinstance(strangers, list) and strangers else ""
        wrong.append(
            fail(
                f"{role} may not end the sessions of workers{whose}: a frozen one would keep its row locks",
                "let all workers use one role, or grant pg_signal_backend; and execute on pg_terminate_backend",
            )
        )
    yield from wrong or [ok(f"{role} may {'' if ours else 'create, '}write and end its own sessions")]


def schema(patient: Patient) -> Remarks:
    migrations = patient.app.migrations(patient.settings.namespace)
    todo = pending(patient.settings.database, migrations)
    early = [f"{m.room}/{m.name}" for m in todo if m.phase == "pre"]
    late = [f"{m.room}/{m.name}" for m in todo if m.phase != "pre"]
    if early:
        yield fail(f"older than the code, it lacks {some(early)}", "`callboard migrate`")
    if late:
        yield warn(f"not applied yet: {some(late)}", "`callboard migrate`, once no older worker runs")
    unknown = _unknown(patient, {(m.room, m.name) for m in migrations}) if len(todo) < len(migrations) else []
    if unknown:
        yield warn(
            f"newer than this code, it has {some(unknown)}", "deploy the version that made them here too"
        )
    if not todo and not unknown:
        yield ok(f"{len(migrations)} migrations are applied, none is unknown")


def sessions(patient: Patient) -> Remarks:
    """Session locks, `set` and LISTEN must outlive a transaction. Behind a transaction pooler they do not."""
    urls = {"CALLBOARD_DATABASE_URL": patient.settings.database.url}
    if patient.settings.database.direct_url:
        urls["CALLBOARD_DATABASE_DIRECT_URL"] = patient.settings.database.direct_url
    wrong = False
    for name, url in urls.items():
        try:
            pooled = shares_backends(url)
        except psycopg.Error as error:
            yield fail(f"{name} cannot be used: {reason_of(error)}", f"correct {name}")
            wrong = True
            continue
        if pooled:
            wrong = True
            yield fail(
                f"{name} leads to a transaction pooler: sessions are shared, so locks and settings get lost",
                "pool by session there, or point it to PostgreSQL itself",
            )
    if not wrong:
        yield ok(f"{' and '.join(urls)} {'give' if len(urls) > 1 else 'gives'} sessions of one's own")


def connections(patient: Patient) -> Remarks:
    """Whether one more worker process and its quarantine would find room."""
    (free,) = patient.one(_ROOM)
    assert isinstance(free, int)
    need = needed(patient.settings)
    found = f"room for {free} more connections, a worker and its quarantine may open {need}"
    if free < need:
        yield warn(
            found,
            "raise max_connections (or the database's limit), lower CALLBOARD_THREADS, or pool by session",
        )
    else:
        yield ok(found)


def needed(settings: Settings) -> int:
    """Of one `callboard worker`: journal, keeper, two for waiting records, the pool of threads + 2; on `postgres` its own two."""
    own = 4 + (0 if settings.broker_urls else 2)
    return (own + settings.threads + 2) + (own + 1 + 2)


def shares_backends(url: str) -> bool:
    """Whether a second client is given the session that an idle first one has used, or the first finds another one afterwards.

    Raises psycopg errors.
    """
    options = {"autocommit": True, "prepare_threshold": None, "connect_timeout": 5}
    with ExitStack() as opened:
        first, second = (opened.enter_context(psycopg.connect(url, **options)) for _ in range(2))  # type: ignore[arg-type]
        before = _backend(first)
        with second.transaction():
            other = _backend(second)
            return other == before or _backend(first) != before


def _backend(connection: psycopg.Connection) -> int:
    row = connection.execute(_BACKEND).fetchone()
    assert row is not None
    return int(row[0])


def _unknown(patient: Patient, known: set[tuple[str, str]]) -> list[str]:
    rooms = sorted({"engine", *(name for name, _ in patient.app.domains)})
    applied = patient.db.execute(_LEDGER, {"rooms": rooms}).fetchall()
    return [f"{room}/{name}" for room, name in applied if (room, name) not in known]


def _quoted(name: str) -> str:
    return f'"{name}"'
