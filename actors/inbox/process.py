"""Do in a worker what the web would have done while its caller waits."""

from datetime import timedelta

from actors.inbox.background import Processed, done_now
from broker import Run, actor
from schemas.inbox import BackgroundProcessRequested


@actor(title="Process in the Background", time_limit=timedelta(minutes=1))
def process(event: BackgroundProcessRequested, run: Run) -> Processed:
    return run.step("process", done_now, event.client_id, transactional=True)
