"""What a run broadcasts, checked where it is said: a bad channel is the author's error, not the journal's."""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from broker.errors import ConfigurationError, EventTooLargeError, InvalidEventError
from broker.journal.intents import Broadcast
from broker.realtime.channels import channel_fault, name_fault
from schemas import Event, InvalidPayload, parse

MAX_BYTES = 64 * 1024
"""A listener's connection holds up to some hundred of them in memory. What is larger is fetched by its address."""


def broadcast_of(
    actor: str, channel: str, data: BaseModel | Mapping[str, object], name: str | None
) -> Broadcast:
    """Raises ConfigurationError, InvalidEventError and EventTooLargeError; the messages hold no data."""
    if name is None:
        name = type(data).event_type if isinstance(data, Event) else "message"
    for fault in (channel_fault(channel), name_fault(name)):
        if fault:
            raise ConfigurationError(f"{actor} broadcasts: {fault}")
    try:
        text = data.model_dump_json().encode() if isinstance(data, BaseModel) else to_json(data)
        parse(text)
    except (PydanticSerializationError, InvalidPayload, UnicodeDecodeError) as error:
        told = str(error) if isinstance(error, InvalidPayload) else "it cannot be written as JSON"
        raise InvalidEventError(
            f"{actor} broadcasts {name}: its data is no JSON object that can be kept: {told}"
        ) from None
    if len(text) > MAX_BYTES:
        raise EventTooLargeError(
            f"{actor} broadcasts {name}: {len(text)} bytes, the limit is {MAX_BYTES}: broadcast an address instead"
        )
    return Broadcast(channel, name, text.decode())
