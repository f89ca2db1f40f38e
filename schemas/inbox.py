"""The inbox: what is said when a client's numbers are out of date."""

from typing import Annotated

from pydantic import Field, StringConstraints

from .event import Event
from .marks import SUBJECT

ClientId = Annotated[str, StringConstraints(min_length=1, max_length=255), SUBJECT]
Word = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
"""Higher goes first."""


class _OfClient(Event):
    client_id: ClientId
    request_id: Word
    source: Word
    priority: Priority = 0


class InboxCountsDirty(_OfClient, type="inbox.counts.dirty"):
    """Something of this client has changed. A hint: it carries no numbers, and many of them are one recompute."""


class InboxCountsRecompute(_OfClient, type="inbox.counts.recompute"):
    """Of one client and `request_id` there is one recompute."""


class AnalyticsAggregatesRecompute(_OfClient, type="analytics.aggregates.recompute"):
    """The client's aggregates may be old."""


class BackgroundProcessRequested(_OfClient, type="background.process.requested"):
    """What the web would have done while its caller waits."""


class InboxSweepDue(Event, type="inbox.sweep.due"):
    """It is time to look for clients whose change nobody has told."""
