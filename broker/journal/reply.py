"""The answer to one intent, as a thread waits for it."""

import threading

from broker.journal.intents import Answer


class Reply:
    """`settle` is for the journal's thread, once; `wait` for one other. A bare lock: it wakes the waiter with one call where a
    future takes a condition and two locks, and a step waits for nothing but this."""

    __slots__ = ("_answer", "_told")

    def __init__(self) -> None:
        self._told = threading.Lock()
        self._told.acquire()
        self._answer: Answer | BaseException | None = None

    def settle(self, answer: Answer | BaseException) -> None:
        self._answer = answer
        self._told.release()

    def wait(self) -> Answer:
        """Raises what the journal answered with: JournalError with PostgreSQL's error as its cause."""
        self._told.acquire()
        answer = self._answer
        assert answer is not None  # settled before the lock was released
        if isinstance(answer, BaseException):
            raise answer
        return answer
