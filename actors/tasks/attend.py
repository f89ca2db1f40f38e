"""Catch what failed, log it, tell its user, and pass it on: the pattern for work whose user waits for an answer."""

from datetime import timedelta

from actors.tasks import store
from actors.tasks.work import Measured, measure
from broker import Backoff, Run, StepFailed, actor
from schemas.notifications import NotificationSend
from schemas.tasks import TaskRequested

THREE_TRIES = Backoff(timedelta(seconds=1), timedelta(seconds=10), attempts=3)


@actor(title="Attend to Task", time_limit=timedelta(minutes=5), publishes=[NotificationSend])
def attend(event: TaskRequested, run: Run) -> Measured:
    """The step has used up its own tries when it is caught: passed on, it is a dead letter at once, and no attempt repeats it."""
    run.step("log-start", store.log, run.id, "info", f"task {event.task_id} begins", transactional=True)
    try:
        measured = run.step("main-task", measure, event.file, retry=THREE_TRIES)
    except StepFailed as error:
        run.step("log-error", store.log, run.id, "error", str(error), transactional=True)
        told = NotificationSend(
            user_id=event.user_id,
            title="Task Failed",
            message=f"{event.file} could not be worked on.",
            type="error",
        )
        run.step("notify", store.publish_now, told, f"{run.id} failed", "tasks", transactional=True)
        raise
    run.step("log-result", store.log, run.id, "info", f"task {event.task_id} is done", transactional=True)
    return measured
