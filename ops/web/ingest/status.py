"""`GET /events/{id}`: what became of an event, without its payload."""

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from broker.history import LetterLine, OnTheWay, RunRow, letters_of_event, messages_of_event, runs_of
from ops.web.answers import answered, refused
from ops.web.desk import Desk
from ops.web.ingest.access import Access


class StatusDoor:
    """For whoever has a live key."""

    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk = desk
        self._access = access

    async def answer(self, request: Request) -> Response:
        key = await self._access.of_header(request)
        if isinstance(key, Response):
            return key
        id = request.path_params["id"]
        if "\0" in id or len(id) > 255:
            return refused(404, "unknown", "no event has an id like that")
        found = await self._desk.keep(lambda connection: _told(connection, id))
        if isinstance(found, Response):
            return found
        if not any(found[part] for part in ("runs", "on_the_way", "dead_letters")):
            return refused(
                404, "unknown", "no event of this id is known here; one on its way in RabbitMQ cannot be seen"
            )
        return answered(200, found)


def _told(connection: Connection, id: str) -> dict[str, object]:
    return {
        "id": id,
        "runs": [_run(run) for run in runs_of(connection, id) if run.event_id == id],
        "on_the_way": [_message(message) for message in messages_of_event(connection, id)],
        "dead_letters": [_letter(letter) for letter in letters_of_event(connection, id)],
    }


def _run(run: RunRow) -> dict[str, object]:
    times = {"started_at": run.started_at, "finished_at": run.finished_at, "due_at": run.due_at}
    return {
        "id": str(run.id),
        "actor": run.actor,
        "status": run.status,
        "attempt": run.attempt,
        "trace_id": run.trace_id,
        **{name: moment.isoformat() if moment else None for name, moment in times.items()},
    }


def _message(message: OnTheWay) -> dict[str, object]:
    return {"place": message.place, "queue": message.queue, "since": message.since.isoformat()}


def _letter(letter: LetterLine) -> dict[str, object]:
    return {
        "id": str(letter.id),
        "reason": letter.reason,
        "actor": letter.actor,
        "field": letter.field,
        "settled_as": letter.settled_as,
    }
