"""Orders: what is said while a personal song is made, from the payment to the finished variants."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from .event import Event, Part
from .marks import PERSONAL, SUBJECT

MAX_VARIANTS = 20

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Location = Annotated[str, StringConstraints(min_length=1, max_length=2083)]
"""Where a file store keeps something: a URL, or a path below the house's own address."""
Told = Annotated[str, StringConstraints(max_length=4000)]
"""A reason in words. Its publisher cuts it."""


class Customization(Part):
    """What the customer asked for. Which genres and moods there are is the music maker's to know."""

    recipient_name: Annotated[Name, PERSONAL]
    occasion: Name
    genre: Word
    mood: Word
    tempo: int | None = Field(default=None, ge=50, le=200)
    """Beats a minute; None leaves it to the music maker."""
    story: Annotated[str, StringConstraints(max_length=1_000), PERSONAL] | None = None


class Variant(Part):
    """One rendering of the song: complete ones have a `url`, failed ones an `error`."""

    number: int = Field(ge=1, le=MAX_VARIANTS)
    status: Literal["complete", "failed"]
    url: Location | None = None
    error: Told | None = None


class OrderPaid(Event, type="order.paid", aliases=("order/paid",)):
    order_id: UUID
    stripe_session_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    customization: Customization
    user_id: Annotated[str, StringConstraints(min_length=1, max_length=255), SUBJECT] | None = None
    """Whose order it is; None for one bought without an account, which no account can see."""


class OrderAccepted(Event, type="order.accepted"):
    order_id: UUID


class OrderVariantsGenerated(Event, type="order.variants_generated"):
    order_id: UUID
    variants: tuple[Variant, ...] = Field(min_length=1, max_length=MAX_VARIANTS)


class OrderCompleted(Event, type="order.completed", audience="outside"):
    order_id: UUID
    variant_urls: tuple[Location, ...] = Field(min_length=1, max_length=MAX_VARIANTS)


class OrderFailed(Event, type="order.failed", audience="outside"):
    order_id: UUID
    reason: Told
