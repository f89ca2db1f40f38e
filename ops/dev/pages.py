"""Pages and doors of `callboard dev`, in a process that imports the author's code and is exchanged with it.

The listening socket is ours and outlives each of them: whoever calls meanwhile waits in its line.
"""

import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from broker import CallboardError, Settings, load_settings
from ops.boot import App, load
from ops.household import HouseError, Workers
from ops.reach import configure_logs
from ops.web.app import NOTHING
from ops.web.server import HOST, address_of, listening, serving

GRACE = timedelta(seconds=5)
"""More than the server takes for what it has open."""


class Pages:
    """The next one stands ready, imported but for the author's code. Raises CallboardError for a port that is taken."""

    def __init__(self, port: int | None, log: Path, heard: Callable[[str], None]) -> None:
        self._socket, self._log, self._heard = listening(HOST, port), log, heard
        self.address = address_of(self._socket)
        self._now: Workers | None = None
        self._next = self._standby()

    def exchange(self) -> None:
        """Serve the code as it is on disk now."""
        if self._now is not None:
            self._now.stop()
        self._now, fresh = self._next, self._next
        fresh.go()
        try:
            fresh.await_ready()
        except HouseError as error:
            self._heard(str(error))
        self._next = self._standby()

    def stop(self) -> None:
        for each in (self._next, self._now):
            if each is not None:
                each.stop()
        self._socket.close()

    def _standby(self) -> Workers:
        number = self._socket.fileno()
        program = ["ops.dev.pages", str(number)]
        return Workers.start(program, self._log, GRACE, self._heard, pass_fds=(number,), called="pages")


def main() -> None:
    """The one argument is the socket's number; begins at a line on the standard input."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    if not sys.stdin.readline():
        return
    settings = load_settings().model_copy(update={"ingest_open": True})
    configure_logs(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with serving(settings, listener=listener, loaded=_loaded(settings)):
        print("ready", flush=True)
        over.wait()


def _loaded(settings: Settings) -> App:
    """Nothing of code that is broken, which is told by its trial: the pages are there all the same."""
    try:
        return load(settings)
    except CallboardError:
        return NOTHING


if __name__ == "__main__":
    main()
