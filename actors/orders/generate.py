"""Make an order's songs: several variants, each made and kept in a durable step of its own, so that none is made twice."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from pydantic import BaseModel

from actors.orders import providers, store
from actors.orders.fail import fail
from actors.orders.song import SongCustomization
from broker import Backoff, Failed, NonRetriable, Ok, Run, actor, judged
from schemas.orders import OrderAccepted, OrderVariantsGenerated, Variant

FIVE_ATTEMPTS = Backoff(min=timedelta(seconds=1), max=timedelta(seconds=60), attempts=5)
MAX_ERROR = 1_000


class Commission(BaseModel):
    """One variant to make."""

    order_id: UUID
    number: int
    wish: SongCustomization
    idempotency_key: str


class Upload(BaseModel):
    """Where a finished variant is."""

    url: str


@dataclass(frozen=True, slots=True)
class Studio:
    """Makes variants on behalf of a run, and keeps their rows true while it does."""

    run: Run

    def make(self, commission: Commission) -> Upload:
        """One item of the map; the steps inside are its own, so a repeated try marks nothing twice."""
        self._mark(commission, "generating", None)
        upload = generate_and_upload(commission)
        self._mark(commission, "complete", upload.url)
        return upload

    def _mark(self, commission: Commission, status: str, url: str | None) -> None:
        order_id, number = commission.order_id, commission.number
        name = f"mark-variant-{status}[{number - 1}]"
        self.run.step(name, store.mark_variant, order_id, number, status, url, transactional=True)


@actor(title="Generate Song", retry=FIVE_ATTEMPTS, time_limit=timedelta(minutes=20), on_failure=fail)
def generate(event: OrderAccepted, run: Run) -> OrderVariantsGenerated:
    """Raises NonRetriable if no variant could be made: then a person has to look, and can replay it."""
    wish = run.step("fetch-customization", store.fetch_customization, event.order_id, transactional=True)
    run.step("mark-generating", store.mark_generating, event.order_id, transactional=True)
    run.step("create-variant-records", store.create_variants, event.order_id, transactional=True)

    outcomes = run.map(
        "generate-and-upload", Studio(run).make, commissions(run, event, wish), retry=FIVE_ATTEMPTS
    )
    variants = tuple(variant(number, outcome) for number, outcome in enumerate(outcomes, 1))
    if not any(made.status == "complete" for made in variants):
        run.step("mark-variants-failed", store.finish_variants, event.order_id, variants, transactional=True)
        raise NonRetriable(
            f"order {event.order_id}: no variant could be made; the first: {variants[0].error}"
        )
    return OrderVariantsGenerated(order_id=event.order_id, variants=variants)


def commissions(run: Run, event: OrderAccepted, wish: SongCustomization) -> list[Commission]:
    """What is to be made, each with a key of its own for providers that keep such keys."""
    return [
        Commission(
            order_id=event.order_id,
            number=number,
            wish=wish,
            idempotency_key=run.idempotency_key("generate-and-upload", number),
        )
        for number in range(1, store.VARIANTS + 1)
    ]


def generate_and_upload(commission: Commission) -> Upload:
    """Make one variant and keep it. Raises NonRetriable where the provider refuses it, RetryAfter where it says when."""
    with judged():
        song = providers.music_maker().make(commission.wish, commission.number, commission.idempotency_key)
        key = f"{store.ORDERS}{commission.order_id}/{commission.number}.{song.extension}"
        return Upload(url=providers.storage().put(key, song.data, song.content_type))


def variant(number: int, outcome: Ok[Upload] | Failed) -> Variant:
    """An item's outcome as events tell it."""
    if isinstance(outcome, Ok):
        return Variant(number=number, status="complete", url=outcome.value.url)
    return Variant(number=number, status="failed", error=outcome.error[:MAX_ERROR])
