"""What both sides do: the payload, the rows, and the job that a worker process is given."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

Scenario = Literal["tiny", "chain", "transaction", "steps", "latency", "async", "delayed"]

TEXT = "x" * 150
"""With its number and the quotes an event's data has 200 bytes."""
STAGES = 3
STEPS = 5
TWICE_EVERY = 50
"""Of a chain's first events, each so-many-th is sent twice: its rows must be there once."""

EFFECTS = "create table if not exists effect (id bigint, stage int, primary key (id, stage))"
INSERT = "insert into effect (id, stage) values (%(id)s, %(stage)s)"


@dataclass(frozen=True, slots=True)
class Job:
    """The order of a worker process, on its command line."""

    scenario: Scenario
    dsn: str
    amqp: str
    namespace: str
    threads: int
    expected: int = 0
    """How many bodies end the round; 0 where the rows in the database do."""
    sample: float = 0.01
    """Share of traces that are recorded, where the environment names an endpoint."""
    bare: str = ""
    """Spans that the last body of a chain makes with the bare SDK, in place of ours."""

    def to_argument(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_command_line(cls) -> "Job":
        return cls(**json.loads(sys.argv[1]))


def serve(job: Job, start: Callable[[], None], told: list[float]) -> None:
    """A worker's life: ready, go, done, and at the next line of its input what its bodies have told."""
    print("ready", flush=True)
    sys.stdin.readline()
    start()
    if job.expected:
        while len(told) < job.expected:
            time.sleep(0.002)
        print("done", flush=True)
    sys.stdin.readline()
    print(json.dumps(told), flush=True)


def milliseconds_since(sent: float) -> float:
    """By the monotonic clock, which all processes of a machine share."""
    return (time.monotonic() - sent) * 1000
