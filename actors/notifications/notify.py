"""Tell a user something: one row, once, however often the event is delivered or its run repeated."""

from uuid import UUID

from pydantic import BaseModel

from actors.notifications import store
from broker import Run, actor
from schemas.notifications import NotificationSend


class Notified(BaseModel):
    """The row that was written."""

    notification_id: UUID


@actor(title="Send Notification")
def notify(event: NotificationSend, run: Run) -> Notified:
    row = {"id": run.id, **event.model_dump()}
    run.write(store.SAVE_NOTIFICATION, row)
    run.broadcast(f"user-{event.user_id}", {"notification": row}, name="notification-received")
    return Notified(notification_id=run.id)
