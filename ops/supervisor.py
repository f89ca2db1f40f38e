"""The runner: starts worker processes, starts again what dies, stops them in order. It opens no connection of its own.

    child:       starting ── ready ── died ── (0.1 s, doubling to 5 s) ── starting …
    supervisor:  running ── SIGTERM ── stopping ── all gone, or the grace is over ── killing ── gone

The children are programs of their own, so nothing is inherited over a fork. One that dies takes no other with it. When the
supervisor itself dies they are killed by the kernel (Linux) and by the end of their channel (everywhere): their runs are taken
over by the next worker that starts.
"""

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from ops.embedded.process import launch_command
from ops.worker_process import REFUSED

log = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=0.1)
LONGEST_PAUSE = timedelta(seconds=5)
SETTLED = timedelta(seconds=30)
"""A child that has lived for so long starts again without a pause: what killed it is no boot loop."""
CLOSING = timedelta(seconds=4)
"""After the grace, for the last commit and the connections; with the default grace of 25 s still below the usual 30 s."""
LOOK_SECONDS = 0.25
"""A child's death closes its channel, which wakes us; a grandchild that holds the channel open is found by this look."""


@dataclass(slots=True)
class Child:
    """One process to keep alive. `due_at` (monotonic) is set while it is dead and waits to be started."""

    name: str
    arguments: Sequence[str]
    pause: timedelta = FIRST_PAUSE
    due_at: float | None = 0.0
    started_at: float = 0.0
    ready: bool = False
    served: bool = False
    """Whether one of its processes has been ready: the next one takes its place, and deploys nothing."""
    process: subprocess.Popen[bytes] | None = None
    channel: socket.socket | None = None
    heard: bytes = b""

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        again = ["--again"] if self.served else []
        command = [sys.executable, "-m", "ops.worker_process", str(theirs.fileno()), *self.arguments, *again]
        with theirs:
            self.process = subprocess.Popen(
                # The kernel ends the child with the thread that started it: ours is the main thread.
                launch_command(command, death_signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is for the supervisor, which stops the others in order
            )
        ours.setblocking(False)
        self.channel, self.heard = ours, b""
        self.started_at, self.due_at, self.ready = time.monotonic(), None, False

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def schedule(self) -> timedelta:
        """When to start again, after a death."""
        if time.monotonic() - self.started_at > SETTLED.total_seconds():
            self.pause = FIRST_PAUSE
        pause, self.pause = self.pause, min(self.pause * 2, LONGEST_PAUSE)
        self.due_at = time.monotonic() + pause.total_seconds()
        return pause


@dataclass(slots=True)
class Supervisor:
    """`processes` workers and one quarantine process. `on_ready` is called once, when all of them serve."""

    processes: int
    threads: int
    patterns: Sequence[str] = ()
    grace: timedelta = timedelta(seconds=25)
    on_ready: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda _: None
    """Told what a person has to know: a server that is waited for, a configuration that is refused."""
    _children: list[Child] = field(default_factory=list[Child])
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: int = 0
    _deadline: float | None = None
    _killed: bool = False
    _refused: bool = False
    _told: set[str] = field(default_factory=set[str])

    def run(self) -> int:
        """Until a signal has ended it. Returns the exit status: 0 when every child has stopped in order. From the main thread."""
        self._children = self._planned()
        with self._listening():
            while not self._over():
                self._start_due()
                for key, _ in self._selector.select(LOOK_SECONDS if self._deadline is None else 0.05):
                    if isinstance(key.data, Child):
                        self._hear(key.data)
                    elif isinstance(key.data, socket.socket):
                        key.data.recv(4096)
                self._obey()
                self._reap()
        return 1 if self._refused or self._killed else 0

    def _planned(self) -> list[Child]:
        own = ["--threads", str(self.threads), *(f"--actors={pattern}" for pattern in self.patterns)]
        workers = [Child(f"worker-{number}", own) for number in range(1, self.processes + 1)]
        return [*workers, Child("quarantine", ["--quarantine"])]

    def _over(self) -> bool:
        return self._deadline is not None and all(child.process is None for child in self._children)

    def _start_due(self) -> None:
        for child in self._children:
            if self._deadline is None and child.due_at is not None and child.due_at <= time.monotonic():
                child.start()
                assert child.channel is not None  # made by its start
                self._selector.register(child.channel, selectors.EVENT_READ, child)

    def _hear(self, child: Child) -> None:
        """Lines on a child's channel; its end is noticed by `_reap`."""
        assert child.channel is not None  # registered with its channel
        with contextlib.suppress(ConnectionError, BlockingIOError):
            got = child.channel.recv(65_536)
            if not got and child.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(0.05)
            *lines, child.heard = (child.heard + got).split(b"\n")
            for line in lines:
                word, _, text = line.decode(errors="replace").partition(" ")
                self._told_by(child, word, text)

    def _told_by(self, child: Child, word: str, text: str) -> None:
        if word == "ready":
            was_ready = all(other.ready for other in self._children)
            child.ready = child.served = True
            if not was_ready and all(other.ready for other in self._children) and "ready" not in self._told:
                self._told.add("ready")
                self.on_ready()
        elif text not in self._told:
            self._told.add(text)
            self.say(f"waiting for {text}" if word == "waiting" else f"error: {text}")

    def _reap(self) -> None:
        for child in self._children:
            if child.process is None or (status := child.process.poll()) is None:
                continue
            self._forget(child)
            if status == REFUSED and self._deadline is None:
                self._refused = True
                self._stop()
            elif self._deadline is None:
                pause = child.schedule()
                log.warning("worker_died", worker=child.name, status=status, restart_in=pause.total_seconds())

    def _forget(self, child: Child) -> None:
        if child.channel is not None:
            self._hear(child)
            self._selector.unregister(child.channel)
            child.channel.close()
        child.process, child.channel, child.ready = None, None, False

    def _obey(self) -> None:
        """Signals: the first stops in order, the second ends at once, and so does the end of the grace."""
        if self._signals and self._deadline is None:
            self._stop()
        late = self._deadline is not None and time.monotonic() > self._deadline
        if not self._killed and self._deadline is not None and (self._signals > 1 or late):
            self._killed = any(child.process is not None for child in self._children)
            if self._killed:
                names = [child.name for child in self._children if child.process is not None]
                log.warning(
                    "workers_killed", workers=names, why="the grace is over" if late else "told twice to stop"
                )
            for child in self._children:
                child.signal(signal.SIGKILL)

    def _stop(self) -> None:
        self._deadline = time.monotonic() + (self.grace + CLOSING).total_seconds()
        for child in self._children:
            child.signal(signal.SIGTERM)

    @contextlib.contextmanager
    def _listening(self) -> Generator[None]:
        """Count SIGTERM and SIGINT, and be woken by them."""
        wakes, woken = socket.socketpair()
        wakes.setblocking(False)
        woken.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ, woken)
        before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, self._count) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            self._selector.close()
            wakes.close()
            woken.close()

    def _count(self, *_: object) -> None:
        self._signals += 1
