"""People: who may look at the pages, and act there. Passwords are kept as Argon2id, sessions as a digest of their token."""

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from psycopg import Connection, errors
from psycopg.rows import class_row

from broker.audit import note
from broker.errors import CallboardError, NotFoundError

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
LEAST_CHARACTERS, MOST_CHARACTERS = 12, 1000
"""Of a password. NIST SP 800-63B asks for eight at least, and for no rules about what they are."""
PATIENT = 5
"""Wrong passwords in a row that cost nothing but their time."""
LONGEST_WAIT = timedelta(minutes=5)
HASHING_AT_ONCE = 2
"""Each takes 64 MiB and some 50 ms of a core."""
IN_LINE = timedelta(seconds=2)
"""How long one waits for that, before it is told to come again."""

_hashing = threading.BoundedSemaphore(HASHING_AT_ONCE)

_COLUMNS = "name, role, made_at, made_by, seen_at"
_ANYBODY = "select exists (select from person)"
_ALL = f"select {_COLUMNS} from person order by name"  # noqa: S608  constants only
_ADD = f"""
insert into person (name, role, password, made_at, made_by) values (%s, %s, %s, clock(), %s) returning {_COLUMNS}"""  # noqa: S608
_SET_ROLE = "update person set role = %s where name = %s"
_RENEW = "update person set password = %s, failures = 0, failed_at = null where name = %s"
_REMOVE = "delete from person where name = %s"
_END_ALL = "delete from sign_in where person = %s"
_ADMINS = "select name from person where role = 'admin' order by name for update"
_KEPT = """
select password, failed_at + least(interval '1 second' * power(2, least(failures - %s, 20)), %s) - clock(), failures
from person where name = %s"""
_FAILED = "update person set failures = failures + 1, failed_at = clock() where name = %s"
_ENTERED = "update person set failures = 0, failed_at = null, seen_at = clock() where name = %s"
_FORGET_ENDED = "delete from sign_in where ends_at < clock()"
_BEGIN = "insert into sign_in (digest, person, made_at, ends_at) values (%s, %s, clock(), clock() + %s)"
_FIND = f"""
select {_COLUMNS} from person
where name = (select person from sign_in where digest = %s and ends_at > clock())"""  # noqa: S608
_END = "delete from sign_in where digest = %s"


@dataclass(frozen=True, slots=True)
class Person:
    """`seen_at` is when they last signed in."""

    name: str
    role: Role
    made_at: datetime
    made_by: str
    seen_at: datetime | None

    def may(self, needed: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(needed)


class WrongPasswordError(CallboardError):
    """Nobody has this name and password. Which of the two is wrong is not said."""

    def __init__(self) -> None:
        super().__init__("nobody has this name and this password")


class TooManyTriesError(CallboardError):
    """Too many wrong passwords for this name; `wait` is how long no other is looked at."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"too many wrong passwords: come again in {max(1, round(wait.total_seconds()))} s")
        self.wait = wait


def anybody(connection: Connection) -> bool:
    """Whether there is a person at all."""
    row = connection.execute(_ANYBODY).fetchone()
    return row is not None and bool(row[0])


def list_people(connection: Connection) -> list[Person]:
    """By name."""
    with connection.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_ALL.encode()).fetchall()


def add(connection: Connection, name: str, role: Role, password: str, by: str) -> Person:
    """One commit. Raises CallboardError for a name that is taken, no name, or a password too short or long."""
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= 100:
        raise CallboardError("a person's name is 1 to 100 printable characters")
    try:
        with connection.transaction(), connection.cursor(row_factory=class_row(Person)) as cursor:
            made = cursor.execute(_ADD.encode(), (name, role, _hashed(password), by)).fetchone()
            note(connection.cursor(), by, "add person", name, {"role": role})
    except errors.UniqueViolation:
        raise CallboardError(f"there is a person named {name!r} already") from None
    assert made is not None  # an insert without a conflict clause
    return made


def set_role(connection: Connection, name: str, role: Role, by: str) -> None:
    """Holds with their next request. One commit. Raises NotFoundError, and CallboardError for the last admin."""
    with connection.transaction(), connection.cursor() as cursor:
        if role != "admin":
            _spare_last_admin(connection, name)
        _found(cursor.execute(_SET_ROLE, (role, name)).rowcount, name)
        note(cursor, by, "set role", name, {"role": role})


def set_password(connection: Connection, name: str, password: str, by: str) -> None:
    """Ends all of their sessions. One commit. Raises NotFoundError, and CallboardError for one too short or long."""
    kept = _hashed(password)
    with connection.transaction(), connection.cursor() as cursor:
        _found(cursor.execute(_RENEW, (kept, name)).rowcount, name)
        cursor.execute(_END_ALL, (name,))
        note(cursor, by, "set password", name)


def change_password(connection: Connection, name: str, password: str, new: str) -> None:
    """As `set_password`, by who knows the old one. Raises WrongPasswordError and TooManyTriesError, too."""
    _check_in_line(connection, name, password)
    set_password(connection, name, new, name)


def remove(connection: Connection, name: str, by: str) -> None:
    """With all of their sessions. One commit. Raises NotFoundError, and CallboardError for the last admin."""
    with connection.transaction(), connection.cursor() as cursor:
        _spare_last_admin(connection, name)
        _found(cursor.execute(_REMOVE, (name,)).rowcount, name)
        note(cursor, by, "remove person", name)


def sign_in(connection: Connection, name: str, password: str, lasts: timedelta) -> str:
    """The token of a session that ends after `lasts`. One commit. Raises WrongPasswordError and TooManyTriesError.

    Takes as long for a name that nobody has.
    """
    _check_in_line(connection, name, password)
    token = secrets.token_urlsafe(32)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(_FORGET_ENDED)
        cursor.execute(_ENTERED, (name,))
        cursor.execute(_BEGIN, (_digest(token), name, lasts))
    return token


def find(connection: Connection, token: str) -> Person | None:
    """Who has signed in with it, as long as the session lasts and nobody has ended it."""
    with connection.cursor(row_factory=class_row(Person)) as cursor:
        return cursor.execute(_FIND.encode(), (_digest(token),)).fetchone()


def sign_out(connection: Connection, token: str) -> None:
    """End this session. May be repeated."""
    connection.execute(_END, (_digest(token),))


def _found(count: int, name: str) -> None:
    if not count:
        raise NotFoundError(f"nobody is named {name!r}: `callboard people` lists who there is")


def _spare_last_admin(connection: Connection, name: str) -> None:
    """Two who remove each other wait for one another."""
    if connection.execute(_ADMINS).fetchall() == [(name,)]:
        raise CallboardError(f"{name!r} is the last admin: make another one first")


def _hashed(password: str) -> str:
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise CallboardError(f"a password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters")
    return PasswordHasher().hash(password.encode(errors="surrogatepass"))


def _check_in_line(connection: Connection, name: str, password: str) -> None:
    if not _hashing.acquire(timeout=IN_LINE.total_seconds()):
        raise TooManyTriesError(IN_LINE)
    try:
        _check(connection, name, password)
    finally:
        _hashing.release()


def _check(connection: Connection, name: str, password: str) -> None:
    """Reads what there is only now: what waited in line with it may have failed meanwhile."""
    row = connection.execute(_KEPT, (PATIENT, LONGEST_WAIT, name)).fetchone()
    kept, wait, failures = row if row is not None else (_nobodys(), timedelta(0), 0)
    if failures >= PATIENT and wait > timedelta(0):
        raise TooManyTriesError(wait)
    try:
        PasswordHasher().verify(kept, password[:MOST_CHARACTERS].encode(errors="surrogatepass"))
    except VerifyMismatchError:
        connection.execute(_FAILED, (name,))
        raise WrongPasswordError from None


@cache
def _nobodys() -> str:
    """A hash that no password fits."""
    return _hashed(secrets.token_urlsafe(32))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()
