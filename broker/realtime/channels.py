"""How channels, and what is broadcast on them, may be named."""

import re

OURS = "callboard."
"""Names that begin so are said by the stream itself."""

MAX_CHANNEL = 300
"""Characters: a word and an id of ours, which are at most 255."""

_UNFIT = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")


def channel_fault(channel: str) -> str | None:
    """Why this names no channel. An id of a user's is part of most names, and ids are written in every way."""
    if not 1 <= len(channel) <= MAX_CHANNEL or _UNFIT.search(channel):
        return f"no channel is named {channel[:40]!a}: 1 to {MAX_CHANNEL} characters, none of them a control character"
    if all(part in ("", ".", "..") for part in channel.split("/")):
        return f"no channel is named {channel[:40]!a}: clients take it for a way through folders"
    return None


def name_fault(name: str) -> str | None:
    """Why a broadcast cannot be called so. It is a line of the stream."""
    if not _NAME.fullmatch(name):
        return f"a broadcast cannot be called {name[:40]!a}: 1 to 100 letters, digits and _ . : -"
    return f"names that begin with {OURS!r} are the stream's own" if name.startswith(OURS) else None
