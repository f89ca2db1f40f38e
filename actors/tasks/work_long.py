"""Long work that has an hour for all of it, its retries included: a file a step, so that nothing finished is repeated."""

from datetime import timedelta

from pydantic import BaseModel

from actors.tasks.work import measure
from broker import Backoff, NonRetriable, Ok, Run, actor
from schemas.tasks import LongTask

PATIENT = Backoff(timedelta(seconds=1), timedelta(minutes=5), attempts=20)


class Finished(BaseModel):
    """`size` of all files, in bytes."""

    files: int
    size: int


@actor(title="Work on a Long Task", deadline=timedelta(hours=1), time_limit=timedelta(minutes=10))
def work_long(event: LongTask, run: Run) -> Finished:
    outcomes = run.map("measure", measure, event.files, retry=PATIENT)
    done = [each.value for each in outcomes if isinstance(each, Ok)]
    if len(done) < len(outcomes):
        raise NonRetriable(f"{len(outcomes) - len(done)} of {len(outcomes)} files could not be worked on")
    return Finished(files=len(done), size=sum(each.size for each in done))
