"""Offer a buyer more songs. It hears how the song pipeline ends; nothing there knows of it."""

from actors.orders import store
from broker import Run, actor
from schemas.notifications import NotificationSend
from schemas.orders import OrderCompleted


@actor(title="Offer More Songs")
def offer(event: OrderCompleted, run: Run) -> NotificationSend | None:
    """One offer an order. None for an order that has its offer, and for one of nobody's account, whom nobody could tell."""
    made = run.step("make-offer", store.make_offer, event.order_id, transactional=True)
    if made is None or made.user_id is None:
        return None
    return NotificationSend(
        user_id=made.user_id,
        title="Your song in other colours",
        message=f"It would also sound well as {', '.join(made.genres)}.",
    )
