"""What a check says: a state, what was found, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing a check has seen. `fix` is empty where nothing is to be done."""

    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A remark under the id of its check, which scripts may rely on."""

    id: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`skipped` are checks that could not be made, with what they lacked."""

    findings: tuple[Finding, ...]
    skipped: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Nothing failed."""
        return all(finding.state != "fail" for finding in self.findings)

    def count(self, state: State) -> int:
        return sum(finding.state == state for finding in self.findings)


Remarks = Iterator[Remark]


def ok(found: str) -> Remark:
    return Remark("ok", found)


def warn(found: str, fix: str) -> Remark:
    """It works, and will not for ever, or not as meant."""
    return Remark("warn", found, fix)


def fail(found: str, fix: str) -> Remark:
    """Events do not get through, or a promise is not kept."""
    return Remark("fail", found, fix)


def some(names: list[str], most: int = 5) -> str:
    """`a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def rough(length: timedelta) -> str:
    """`4 s`, `12 min`, `3 h`, `2 days`: whole units, rounded down."""
    seconds = int(length.total_seconds())
    for unit, size in (("days", 2 * 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // (86_400 if unit == 'days' else size)} {unit}"
    return f"{seconds} s"
