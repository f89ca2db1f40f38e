"""Events that cancel a run: each of its actor's `cancel_on` is a row from the claim's commit on, until the run is over.

The recorder marks the rows that an event fits ([journal/waits.py](../journal/waits.py)); the leader's sweep cancels their runs
([cancel_sweep.py](../cancel_sweep.py)). An event that was recorded before the claim finds no row, and is not meant.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from broker.actor import Actor
from broker.cancel import unwatch
from broker.history_rows import UNFINISHED
from broker.journal.doors import Asked
from broker.journal.records import columns
from broker.matching import wanted_keys
from broker.middleware.base import Door, Visit

_WATCH = """
insert into cancel_watch (run_id, place, what, match_key, also)
select w.run_id, w.place, w.what, w.match_key, array(select jsonb_array_elements_text(w.also))
from unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::jsonb[]) as w (run_id, place, what, match_key, also)
on conflict do nothing"""


class CancelOn(Door):
    """Reads `cancel_on`. Stands last: it refuses nobody, and what another door has dropped needs no row. One that waits does."""

    option = "cancel_on"
    minds_left = True

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return bool(actor.policies.cancelled_by)

    def ask(self, visit: Visit) -> None:
        over = [left.run_id for left in visit.left if left.status not in UNFINISHED]
        if over:
            unwatch(visit.cursor, over)
        rows = [row for run in visit.asked if run.status in (None, "waiting") for row in _rows(visit, run)]
        if rows:
            visit.cursor.execute(_WATCH, columns(rows))


def _rows(visit: Visit, run: Asked) -> Iterator[tuple[UUID, int, str, str, str]]:
    for place, each in enumerate(visit.policies(run).cancelled_by):
        keys: Sequence[str] = wanted_keys(each.match, run.event, each.event, f"{run.actor}, cancel_on")
        yield run.run_id, place, each.event.event_type, keys[0], json.dumps(keys[1:])
