"""A publish that RabbitMQ does not allow: it closes the channel, and says why in a sentence."""

import re
from dataclasses import dataclass

import pika.exceptions

from broker.transports.rabbitmq.errand import ACCESS_REFUSED

# "access to topic 'x' in exchange …", in 4.x "write access to …"; without a permission at all "access to exchange …".
_TOPIC = re.compile(r"access to topic '(?P<key>.*)' in exchange ")
_USER = re.compile(r"refused for user '(?P<user>.*?)'")


@dataclass(frozen=True, slots=True)
class Refused:
    """`key` is the routing key that our user may not write; None where it may not write to the exchange at all."""

    key: str | None
    user: str

    def __str__(self) -> str:
        if self.key is None:
            return (
                f"refused by RabbitMQ (403): user {self.user!r} may not publish here at all; "
                f"`callboard setup rabbitmq {self.user} --as publisher --type TYPE` gives the right"
            )
        return (
            f"{self.key!r} is refused by RabbitMQ (403): user {self.user!r} may not publish this type; "
            f"`callboard setup rabbitmq {self.user} --as publisher` with a --type for each of its types gives the right"
        )


def read_refusal(error: Exception) -> Refused | None:
    """None for a channel that was closed for another reason."""
    if not isinstance(error, pika.exceptions.ChannelClosedByBroker) or error.reply_code != ACCESS_REFUSED:
        return None
    topic, user = _TOPIC.search(error.reply_text), _USER.search(error.reply_text)
    return Refused(topic["key"] if topic else None, user["user"] if user else "?")
