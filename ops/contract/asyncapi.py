"""AsyncAPI 3: the exchange, the routing keys, the headers and the data of every event type.

It describes this house, as AsyncAPI wants it: `receive` is what the house hears and others publish, `send` is what the house
publishes and others may hear.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from broker import Actor
from broker.topology import DEFAULT_NAMESPACE, topology
from ops.contract.draft7 import converted
from ops.contract.jsonschemas import name_of, schema_of
from schemas import Event

BINDING = "0.3.0"


def asyncapi(
    kinds: Iterable[type[Event]], actors: Sequence[Actor[Any, Any]], *, namespace: str = DEFAULT_NAMESPACE
) -> dict[str, Any]:
    """AsyncAPI 3.0, with schemas as draft-07."""
    by_type: dict[str, list[type[Event]]] = {}
    for kind in sorted(kinds, key=name_of):
        by_type.setdefault(kind.event_type, []).append(kind)
    exchange = topology(namespace, {}).events
    schemas: dict[str, Any] = {}
    for kind in (each for found in by_type.values() for each in found):
        schema, definitions = converted(schema_of(kind), name_of(kind))
        schemas |= {name_of(kind): schema, **definitions}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callboard: events",
            "version": "1.0.0",
            "description": "Publish persistent messages with `mandatory` set, and wait for the confirm. The same (source, id) "
            "again starts nothing twice. Fields that are not in a schema are ignored, and camelCase is taken for snake_case.",
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {"host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0-9-1"}},
        "channels": {name: _channel(name, found, exchange) for name, found in by_type.items()},
        "operations": _operations(by_type, actors),
        "components": {
            "messages": {name_of(kind): _message(kind) for found in by_type.values() for kind in found},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "schemas": schemas,
        },
    }


def _channel(name: str, kinds: Sequence[type[Event]], exchange: str) -> dict[str, Any]:
    messages = {
        f"v{kind.event_version}": {"$ref": f"#/components/messages/{name_of(kind)}"} for kind in kinds
    }
    amqp = {
        "is": "routingKey",
        "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"},
        "bindingVersion": BINDING,
    }
    return {"address": name, "title": name, "messages": messages, "bindings": {"amqp": amqp}}


def _operations(by_type: dict[str, list[type[Event]]], actors: Sequence[Actor[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in by_type:
        channel = {"$ref": f"#/channels/{name}"}
        hearers = sorted(
            actor.name for actor in actors if any(kind.event_type == name for kind in actor.hears)
        )
        speakers = sorted(
            actor.name for actor in actors if any(kind.event_type == name for kind in actor.publishes)
        )
        amqp = {"amqp": {"deliveryMode": 2, "mandatory": True, "ack": True, "bindingVersion": BINDING}}
        heard = (
            f"Heard by {', '.join(hearers)}."
            if hearers
            else "Nobody in this house hears it; it is kept as `unheard`."
        )
        found[f"receive.{name}"] = {
            "action": "receive",
            "channel": channel,
            "summary": heard,
            "bindings": amqp,
        }
        if speakers:
            said = f"Published by {', '.join(speakers)}."
            found[f"send.{name}"] = {"action": "send", "channel": channel, "summary": said, "bindings": amqp}
    return found


def _message(kind: type[Event]) -> dict[str, Any]:
    return {
        "name": kind.event_type,
        "title": f"{kind.event_type} version {kind.event_version}",
        "summary": (kind.__doc__ or "").strip().partition("\n")[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{name_of(kind)}"},
    }


def _headers() -> dict[str, Any]:
    key = {"type": "string", "minLength": 1, "maxLength": 255}
    return {
        "type": "object",
        "required": ["cloudEvents_specversion", "cloudEvents_id", "cloudEvents_source", "cloudEvents_type"],
        "properties": {
            "cloudEvents_specversion": {"const": "1.0"},
            "cloudEvents_id": {**key, "description": "Yours; with the source it names the event for ever."},
            "cloudEvents_source": {**key, "description": "Your service."},
            "cloudEvents_type": {"type": "string", "description": "The routing key again."},
            "cloudEvents_time": {"type": "string", "format": "date-time"},
            "cloudEvents_subject": {"type": "string", "maxLength": 1024},
            "cloudEvents_schemaversion": {"type": "string", "pattern": "^[0-9]{1,5}$", "default": "1"},
            "cloudEvents_correlationid": {**key, "description": "The id of the first event of the story."},
            "cloudEvents_causationid": {**key, "description": "The id of the event that caused this one."},
            "traceparent": {"type": "string", "description": "W3C Trace Context."},
            "tracestate": {"type": "string"},
        },
    }
