"""Notifications: what is said to one user of an application."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from .event import Event
from .marks import SUBJECT

Level = Literal["info", "success", "warning", "error"]


class NotificationSend(Event, type="notification.send", aliases=("notification/send",)):
    user_id: Annotated[str, StringConstraints(min_length=1, max_length=255), SUBJECT]
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    message: Annotated[str, StringConstraints(max_length=4000)]
    type: Level = "info"
