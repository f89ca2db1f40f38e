"""What the tasks domain keeps: a log. Statements run with the engine's schema in the search path, where `publish()` is."""

import json
from uuid import UUID

from psycopg import Connection

from schemas import Event

_LOG = "insert into tasks.log (run_id, level, line) values (%s, %s, %s)"
_PUBLISH = "select publish(%s, %s::jsonb, %s, %s)"

MAX_LINE = 1_000


def log(db: Connection, run_id: UUID, level: str, line: str) -> None:
    db.execute(_LOG, (run_id, level, line[:MAX_LINE]))


def publish_now(db: Connection, event: Event, id: str, source: str) -> None:
    """With this commit, whatever becomes of the run: what a run publishes itself leaves when it completes."""
    db.execute(_PUBLISH, (type(event).event_type, json.dumps(event.model_dump(mode="json")), id, source))
