"""An app in two versions, as two deployments of it: the package `opera`, first as it was, then as it is.

Bodies leave an effect in the run's own commit, and a note on a connection of its own, so that a second start is seen.
"""

from pathlib import Path

from tests.support.acme import write_files

_STORE = """
import os
from functools import cache

import psycopg

EFFECT = \"\"\"
insert into opera.effect as e (n, stage, times) values (%(n)s, %(stage)s, 1)
on conflict (n, stage) do update set times = e.times + 1\"\"\"


@cache
def connection() -> psycopg.Connection:
    return psycopg.connect(os.environ["CALLBOARD_DATABASE_URL"], autocommit=True)


def note(n: int, stage: str) -> int:
    connection().execute("insert into opera.execution (n, stage, version) values (%s, %s, %s)", (n, stage, VERSION))
    return n
"""

COMMON = {
    "opera/__init__.py": "",
    "opera/schemas/__init__.py": "",
    "opera/actors/__init__.py": "",
    "opera/actors/opera/__init__.py": "",
    "opera/pipelines/__init__.py": "",
    "opera/actors/opera/sql/0001_pre_opera.sql": """
create table effect (n int not null, stage text not null, times int not null, primary key (n, stage));
create table execution (id bigserial primary key, n int not null, stage text not null, version int not null);
""",
}

COUNT = 'run.step("count-sheep", store.note, event.n, "count-sheep")'
WASH = 'run.step("wash", store.note, event.n, "wash")'
FLOCK = """
class Flock(BaseModel):
    sheep: int


def flock(n: int) -> Flock:
    return Flock(sheep=store.note(n, "count-sheep"))
"""


def _sleeper(verb: str, kind: str, *steps: str, options: str = "", more: str = "") -> dict[str, str]:
    """The file of an actor that does these steps, sleeps for a day and wakes."""
    body = "\n".join(f"    {step}" for step in steps)
    return {
        f"opera/actors/opera/{verb}.py": f"""
from datetime import timedelta

from pydantic import BaseModel

from broker import Run, actor
from opera.actors.opera import store
from opera.schemas.opera import {kind}

{more}
@actor({options})
def {verb}(event: {kind}, run: Run) -> None:
{body}
    run.sleep(timedelta(days=1))
    run.step("wake", store.note, event.n, "wake")
"""
    }


FIRST = COMMON | {
    "opera/actors/opera/store.py": _STORE.replace("VERSION", "1"),
    "opera/schemas/opera.py": """
from schemas import Event


class AriaSung(Event, type="aria.sung"):
    n: int


class AriaHeard(Event, type="aria.heard"):
    n: int


class StepRenamed(Event, type="step.renamed"):
    n: int


class StepRemoved(Event, type="step.removed"):
    n: int


class StepReshaped(Event, type="step.reshaped"):
    n: int


class ActorRenamed(Event, type="actor.renamed"):
    n: int


class EventReshaped(Event, type="event.reshaped"):
    n: int
""",
    "opera/actors/opera/sing.py": """
import time

from broker import Run, actor

from opera.actors.opera import store
from opera.schemas.opera import AriaHeard, AriaSung


@actor()
def sing(event: AriaSung, run: Run) -> AriaHeard:
    run.step("sing", store.note, event.n, "sing")
    time.sleep(0.01)
    run.write(store.EFFECT, {"n": event.n, "stage": "sing"})
    return AriaHeard(n=event.n)
""",
    "opera/actors/opera/listen.py": """
from broker import Run, actor

from opera.actors.opera import store
from opera.schemas.opera import AriaHeard


@actor()
def listen(event: AriaHeard, run: Run) -> None:
    run.step("listen", store.note, event.n, "listen")
    run.write(store.EFFECT, {"n": event.n, "stage": "listen"})
""",
    **_sleeper("rename_step", "StepRenamed", COUNT),
    **_sleeper("remove_step", "StepRemoved", COUNT),
    **_sleeper("reshape_step", "StepReshaped", WASH, COUNT),
    **_sleeper("nap", "ActorRenamed", COUNT),
    **_sleeper("make_bed", "EventReshaped", COUNT),
}

SECOND = COMMON | {
    "opera/actors/opera/store.py": _STORE.replace("VERSION", "2"),
    "opera/schemas/opera.py": FIRST["opera/schemas/opera.py"]
    .replace('type="aria.sung"):\n    n: int', 'type="aria.sung", version=2):\n    n: int\n    voice: str')
    .replace('type="event.reshaped"):\n    n: int', 'type="event.reshaped"):\n    n: int\n    sheets: str')
    .replace("import Event", "import Event, JsonObject, upcaster")
    + """

class EncoreAsked(Event, type="encore.asked"):
    n: int


@upcaster(AriaSung, from_version=1)
def with_a_voice(data: JsonObject) -> JsonObject:
    return {**data, "voice": "soprano"}
""",
    "opera/actors/opera/sing.py": """
import time

from broker import Run, actor

from opera.actors.opera import store
from opera.schemas.opera import AriaHeard, AriaSung, EncoreAsked


@actor()
def sing(event: AriaSung | EncoreAsked, run: Run) -> AriaHeard:
    run.step("sing", store.note, event.n, "sing")
    time.sleep(0.01)
    run.write(store.EFFECT, {"n": event.n, "stage": "sing"})
    return AriaHeard(n=event.n)
""",
    "opera/actors/opera/hear.py": """
from broker import Run, actor

from opera.actors.opera import store
from opera.schemas.opera import AriaHeard


@actor(aliases=("opera.listen",))
def hear(event: AriaHeard, run: Run) -> None:
    run.step("listen", store.note, event.n, "listen")
    run.write(store.EFFECT, {"n": event.n, "stage": "listen"})
""",
    **_sleeper("rename_step", "StepRenamed", COUNT.replace("sheep", "lambs")),
    **_sleeper("remove_step", "StepRemoved"),
    **_sleeper("reshape_step", "StepReshaped", WASH, 'run.step("count-sheep", flock, event.n)', more=FLOCK),
    **_sleeper("slumber", "ActorRenamed", COUNT, options='aliases=("opera.nap",)'),
    **_sleeper("make_bed", "EventReshaped", COUNT),
}  # fmt: skip


def write_first(folder: Path) -> Path:
    return write_files(folder, FIRST)


def write_second(folder: Path) -> Path:
    return write_files(folder, SECOND)
