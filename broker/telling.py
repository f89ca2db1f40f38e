"""Errors as they may be stored and shown."""

import psycopg
from pydantic import ValidationError

from broker.database import without_values
from broker.hidden import without_hidden


def describe(error: BaseException) -> str:
    """An error as it may be stored and shown: its type and message. pydantic's errors and PostgreSQL's are told
    without the values in them."""
    if isinstance(error, ValidationError):
        faults = "; ".join(
            f"{'.'.join(map(str, f['loc']))}: {f['msg']}"
            for f in error.errors(include_input=False, include_url=False)
        )
        return storable(f"{error.title}: {faults}")[:2000]
    if isinstance(error, psycopg.Error) and error.diag.sqlstate is not None:
        return storable(f"{type(error).__name__}: {without_values(error)}")[:2000]
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return storable(text)[:2000]


def storable(text: str) -> str:
    """Text that PostgreSQL keeps: without NUL and lone surrogates, which errors carry from file names and foreign answers, and
    without values that are marked in the event at hand."""
    return without_hidden(text).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
