"""What a migration does and what it locks, read from its text: a hint for who applies it, no proof."""

import re
from collections.abc import Iterator

_COMMENT = re.compile(r"^--\s?(.*)$")
_CREATED = re.compile(r"\bcreate (?:unlogged )?table (?:if not exists )?([\w.\"]+)", re.IGNORECASE)
_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"\bcreate (?:unique )?index (?:if not exists )?\w* ?on (?:only )?([\w.\"]+)",
         "no writes to {} while its index is built"),
        (r"\balter table (?:if exists )?(?:only )?([\w.\"]+)[^;]*\btype\b", "rewrites {}: nobody reads it meanwhile"),
        (r"\balter table (?:if exists )?(?:only )?([\w.\"]+)[^;]*\b(?:set not null|add (?:constraint|check|foreign|primary))",
         "reads all of {} under its lock"),
        (r"\balter table (?:if exists )?(?:only )?([\w.\"]+)", "short: {}"),
        (r"\b(?:drop table|truncate)(?: table)?(?: if exists)? ([\w.\"]+)", "short: {}"),
        (r"\b(?:vacuum full|cluster) ([\w.\"]+)", "rewrites {}: nobody reads it meanwhile"),
        (r"\bupdate ([\w.\"]+)[^;]*\bset\b", "rows of {}, as long as it takes"),
        (r"\bdelete from ([\w.\"]+)", "rows of {}, as long as it takes"),
        (r"\block table ([\w.\"]+)", "{}, as it says"),
    )
)  # fmt: skip


def purpose_of(text: str) -> str:
    """The first line of its comment; without one its first statement."""
    for line in map(str.strip, text.splitlines()):
        comment = _COMMENT.match(line)
        if comment and comment[1].strip():
            return comment[1].strip()
        if line and not comment:
            return line.rstrip("(; ")
    return ""


def locks_of(text: str) -> str:
    """Existing tables that it locks, the hardest first; empty where it only makes new ones."""
    return "; ".join(dict.fromkeys(_found(text)))


def _found(text: str) -> Iterator[str]:
    statements = [part.strip() for part in re.sub(r"--[^\n]*", "", text).split(";")]
    new = set(_CREATED.findall(" ".join(statements)))
    told = list[tuple[int, str]]()
    for statement in statements:
        for rank, (pattern, words) in enumerate(_RULES):
            match = pattern.search(statement)
            if match and match[1] not in new:
                told.append((rank, words.format(match[1])))
                break
    yield from (words for _, words in sorted(told))
