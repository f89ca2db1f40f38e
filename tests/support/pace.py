"""Outages and observations have a length: the one place where a test may let time pass."""

import time
from collections.abc import Iterator
from datetime import timedelta


def ticks(every: timedelta, lasting: timedelta) -> Iterator[timedelta]:
    """How much time has passed, now and every so often, until `lasting` is over. The caller's own work counts."""
    began = time.monotonic()
    while (passed := timedelta(seconds=time.monotonic() - began)) < lasting:
        yield passed
        rest = min(lasting, passed + every).total_seconds() - (time.monotonic() - began)
        time.sleep(max(rest, 0))
