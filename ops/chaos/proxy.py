"""A TCP proxy in front of a real server that plays network faults: latency, black hole, cut, refusal."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

Answer = TypeVar("Answer")

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds: the kernel sends RST instead of FIN."""
CHUNK_BYTES = 65_536
SETUP_TIMEOUT = 5.0


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to `host:port`, in a thread of its own.

    All methods are for the test's thread and have taken effect when they return.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._latency = 0.0
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.port = 0
        self.accepted = 0
        """Connections since the start."""

    @classmethod
    def before(cls, url: str) -> Self:
        """In front of the server of this url."""
        parts = urlsplit(url)
        assert parts.hostname is not None, "the url must name a host"
        assert parts.port is not None, "the url must name a port"
        return cls(parts.hostname, parts.port)

    def through(self, url: str) -> str:
        """The same url, by way of this proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(
            parts._replace(netloc=f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}")
        )

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._pairs)

    def delay(self, latency: timedelta) -> None:
        """Hold each chunk back for so long, in each direction."""
        self._latency = latency.total_seconds()

    def black_hole(self) -> None:
        """Connections stay open and new ones are accepted, but nothing comes through until `restore`."""
        self._call(self._flowing.clear)

    def restore(self) -> None:
        """What the black hole has held flows on."""
        self._call(self._flowing.set)

    def cut(self) -> None:
        """Reset every open connection (RST, on both sides)."""
        self._call(self._cut)

    def refuse(self) -> None:
        """Refuse new connections (nothing listens); open ones live on."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._run(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._flowing.set)
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.cut()
        self._run(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SETUP_TIMEOUT)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SETUP_TIMEOUT)

    def _call(self, work: Callable[[], None]) -> None:
        async def call() -> None:
            work()

        self._run(call())

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, target_writer)
        self._pairs.add(pair)
        try:
            there = asyncio.ensure_future(self._pump(reader, target_writer))
            back = asyncio.ensure_future(self._pump(target_reader, writer))
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            there.cancel()
            back.cancel()
        finally:
            self._pairs.discard(pair)
            pair.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end or an error; reading goes on while chunks wait for their time."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)
        forward = asyncio.ensure_future(self._forward(chunks, writer))
        try:
            with contextlib.suppress(OSError):
                while chunk := await reader.read(CHUNK_BYTES):
                    await chunks.put((self._loop.time() + self._latency, chunk))
            await chunks.put((0.0, b""))
            with contextlib.suppress(OSError):
                await forward
        finally:
            forward.cancel()

    async def _forward(
        self, chunks: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, chunk = await chunks.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.reset()
        self._pairs.clear()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Pair:
    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)

    def close(self) -> None:
        for writer in self._writers:
            if not writer.is_closing():
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
