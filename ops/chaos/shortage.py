"""Servers that have no room left: a full disk under PostgreSQL, a memory alarm in RabbitMQ."""

import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from ops.chaos.arena import Arena, ChaosError
from ops.chaos.faults import Fault
from ops.embedded.process import EmbeddedError
from ops.embedded.rabbitmq_cluster import RabbitCluster

SIZE = "400m"
"""A new cluster has 40 MB, and up to 80 MB of write-ahead log that it keeps."""
BALLAST = "ballast"
PIECE_BYTES = 1 << 20


@contextmanager
def small_disk() -> Generator[Path]:
    """A file system of its own (tmpfs), unmounted at the end. Raises ChaosError where this user may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="callboard-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        folder.rmdir()
        raise ChaosError(
            f"a full disk needs a small one, and mounting it failed: {mounted.stderr.strip()}; be root"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def fill_disk(every: timedelta, lasting: timedelta) -> Fault:
    """Not a byte is left under PostgreSQL, which may end of it; then there is room, and it is started again."""

    def fault(arena: Arena, _: random.Random, stop: threading.Event) -> None:
        postgres = arena.servers.postgres
        ballast = postgres.directory.parent / BALLAST
        while not stop.wait(every.total_seconds()):
            with arena.pulse.outage():
                _fill(ballast, stop, lasting)
                if not postgres.is_running:
                    postgres.start()
            arena.done += 1

    return fault


def alarm_memory(every: timedelta, lasting: timedelta) -> Fault:
    """RabbitMQ takes nothing from publishers while it believes that its memory is used up."""

    def fault(arena: Arena, _: random.Random, stop: threading.Event) -> None:
        rabbit = arena.servers.rabbit
        if not arena.amqp or isinstance(rabbit, RabbitCluster):
            return
        try:
            while not stop.wait(every.total_seconds()):
                rabbit.control("set_vm_memory_high_watermark", "absolute", "1MB")
                stop.wait(lasting.total_seconds())
                rabbit.control("set_vm_memory_high_watermark", "0.4")
                arena.done += 1
        except EmbeddedError as error:
            raise ChaosError(f"RabbitMQ could not be told: {error}") from error

    return fault


def _fill(ballast: Path, stop: threading.Event, lasting: timedelta) -> None:
    """To the last byte, again and again, as the server gives some back; until the time is up."""
    piece = b"\0" * PIECE_BYTES
    try:
        with ballast.open("wb", buffering=0) as file:
            for _ in range(max(1, round(lasting.total_seconds() / 0.1))):
                _write_all(file.fileno(), piece)
                stop.wait(0.1)
    finally:
        ballast.unlink(missing_ok=True)


def _write_all(file: int, piece: bytes) -> None:
    """As large pieces as there is room for, down to a byte."""
    size = len(piece)
    while size:
        try:
            os.write(file, piece[:size])
        except OSError:
            size //= 2
