"""`AsyncRun`: the same verbs for actors written as coroutines. Awaiting one holds no thread."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, TypeVarTuple

from broker.backoff import NO_RETRY, Backoff
from broker.errors import StepFailed
from broker.journal.intents import Answer, Record, Recorded, StepRow
from broker.outcomes import Failed, Ok
from broker.run.asynchronous_waits import AwaitedWaiting
from broker.run.core import Core, Known, OpenStep
from broker.run.tools import Tools
from broker.signals import Fenced, Suspended

T = TypeVar("T")
Item = TypeVar("Item")
Ts = TypeVarTuple("Ts")


class AsyncRun(AwaitedWaiting):
    """One attempt of a run on the process's event loop. Verbs raise Fenced when the run has been taken from this worker."""

    __slots__ = ("_busy", "_idle", "_post")

    def __init__(self, core: Core, tools: Tools, post: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(core, tools)
        self._post = post
        self._busy = 0
        self._idle: list[asyncio.Future[None]] = []

    async def step(
        self, name: str, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts, retry: Backoff | None = None
    ) -> T:
        """Await `fn(*args)` once: its result is committed before this returns; a later attempt gets it without running `fn`.

        Several may be awaited at once under different names. With `retry` the step counts its own tries and raises StepFailed
        after the last; without, its error is the attempt's.
        """
        async with self._under_way():
            return await self._step(name, fn, *args, retry=retry)

    async def _step(
        self, name: str, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts, retry: Backoff | None = None
    ) -> T:
        step = self._core.open_step(name, fn)
        if isinstance(step, Known):
            return step.value  # type: ignore[no-any-return]
        try:
            with self._tools.span(name):
                value = await fn(*args)
        except Exception as error:
            await self._failed(step, error, retry)
            raise
        await self._record(self._core.close_step(step, value, fn))
        return value

    async def map(
        self,
        name: str,
        fn: Callable[[Item], Awaitable[T]],
        items: Sequence[Item],
        *,
        retry: Backoff | None = None,
        at_once: int = 10,
    ) -> list[Ok[T] | Failed]:
        """One durable step an item, at most `at_once` together, each with its own retries (`retry`; without it one try).

        Never raises for an item: the outcome of each is `Ok` or `Failed`, in the order of the items. Items that must wait for
        their next try do not hold up the others; then the run suspends until the first of them is due.
        """
        policy, room = retry or NO_RETRY, asyncio.Semaphore(at_once)

        async def one(index: int, item: Item) -> Ok[T] | Failed | timedelta:
            async with room:
                try:
                    return Ok(await self._step(f"{name}[{index}]", fn, item, retry=policy))
                except StepFailed as error:
                    return Failed(error.error)
                except Suspended as signal:
                    return signal.delay or timedelta(0)

        async with self._under_way():
            outcomes = await asyncio.gather(*(one(index, item) for index, item in enumerate(items)))
            if waits := [outcome for outcome in outcomes if isinstance(outcome, timedelta)]:
                raise self._core.suspend(min(waits), f"items of {name!r} retry")
        return [outcome for outcome in outcomes if not isinstance(outcome, timedelta)]

    async def sleep(self, duration: timedelta, *, name: str = "sleep") -> None:
        """Leave the worker and go on after `duration`, which is a row with a due time: it costs nothing and survives all."""
        async with self._under_way():
            row = self._core.sleep_row(name, duration)
            if row is not None:
                await self._record(row)
                raise self._core.suspend(duration, f"sleeps in {name!r}")

    @asynccontextmanager
    async def _under_way(self) -> AsyncGenerator[None]:
        """A suspension waits for the verbs beside it: the body leaves as a whole, with all that its parallel parts wait for."""
        self._busy += 1
        signal: Suspended | None = None
        try:
            yield
        except Suspended as raised:
            signal = raised
        finally:
            self._busy -= 1
            if not self._busy:
                self._tell_the_waiting()
        if signal is not None:
            while self._busy:
                self._idle.append(asyncio.get_running_loop().create_future())
                await self._idle[-1]
            raise signal

    def _tell_the_waiting(self) -> None:
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()

    async def _failed(self, step: OpenStep, error: Exception, retry: Backoff | None) -> None:
        row = self._core.fail_step(step, error, retry)
        if row is None:
            return
        await self._record(row)
        if row.delay is not None:
            raise self._core.suspend(row.delay, f"step {step.name!r} retries") from error
        raise StepFailed(step.name, step.tries, row.error or "") from error

    async def _record(self, row: StepRow) -> None:
        """Commit a step. Raises Fenced when the run is not ours any more, JournalError when PostgreSQL refuses the row."""
        claimed = self._core.claimed
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(answer: Answer | BaseException) -> None:
            self._post(lambda: _deliver(future, answer))

        with self._tools.guard.paused():
            self._tools.ledger.submit(Record(claimed.id, claimed.fence, (row,)), settle)
            answer = await future
        if not (isinstance(answer, Recorded) and answer.held):
            raise Fenced(f"run {claimed.id} is no longer this worker's")


def _deliver(future: "asyncio.Future[Any]", answer: Answer | BaseException) -> None:
    if future.cancelled():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
