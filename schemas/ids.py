"""Ids: new ones that sort by time, and derived ones that are the same each time they are asked for."""

import os
import random
import time
import uuid
from uuid import UUID

_last = 0

# The kernel's randomness costs a system call, for which Python's lock is given up and, under load, is had back late: with 32
# threads in steps it was a tenth of all CPU. Seeded by the kernel, and anew in a child.
_random = random.Random()  # noqa: S311  ids must be unique, not secret
os.register_at_fork(after_in_child=_random.seed)


def uuid4() -> UUID:
    """A new random UUID. Unique, not secret: for what must not be guessed there is `secrets`."""
    return UUID(int=_random.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62)


def uuid7() -> UUID:
    """A new UUIDv7 (RFC 9562, method 3: 12 bits of the sub-millisecond fraction). Within a process ids rise,
    except between threads that ask within the same 244 ns."""
    global _last
    moment = _sixty_bits(time.time_ns())
    if moment <= _last:
        moment = _last + 1
    _last = moment
    return UUID(
        int=(moment >> 12) << 80 | 0x7 << 76 | (moment & 0xFFF) << 64 | 0x2 << 62 | _random.getrandbits(62)
    )


def derived(namespace: UUID, *parts: object) -> UUID:
    """The UUIDv5 of the parts, by their text: the same for the same parts, in every process and for ever."""
    texts = [str(part) for part in parts]
    return uuid.uuid5(namespace, "\x1f".join(f"{len(text)}:{text}" for text in texts))


def _sixty_bits(nanoseconds: int) -> int:
    """48 bits of milliseconds, then 12 bits of the fraction of one."""
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    return milliseconds << 12 | (rest << 12) // 1_000_000
