"""How channels, and what is broadcast on them, may be named."""

import re

OURS = "callboard."
"""Names that begin so are said by the stream itself."""

_CHANNEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+=~-]{0,199}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}")


def channel_fault(channel: str) -> str | None:
    """Why this names no channel. It stands in an address and in a token: plain ASCII, without a slash."""
    if _CHANNEL.fullmatch(channel):
        return None
    return f"no channel is named {channel[:40]!a}: 1 to 200 letters, digits and _ . : @ + = ~ -"


def name_fault(name: str) -> str | None:
    """Why a broadcast cannot be called so. It is a line of the stream."""
    if not _NAME.fullmatch(name):
        return f"a broadcast cannot be called {name[:40]!a}: 1 to 100 letters, digits and _ . : -"
    return f"names that begin with {OURS!r} are the stream's own" if name.startswith(OURS) else None
