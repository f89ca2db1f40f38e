"""`GET /openapi.json`: the doors for publishers, and every event type with its schema, from the code that is loaded."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ops.web.answers import answered
from ops.web.ingest.reading import BATCH, MOST_EVENTS
from schemas import registered

STRUCTURED = "application/cloudevents+json"


async def document(_request: Request) -> Response:
    return answered(200, openapi())


def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Callboard: publishing",
            "version": "1",
            "description": "Hand over typed events. What was answered 202 is kept; the same (source, id) again starts nothing.",
        },
        "paths": {
            "/events": {"post": _publish()},
            "/events/{id}": {"get": _status()},
            "/e/{key}": {"post": _plain()},
            "/healthz": {"get": _plainly("This process answers.", {"200": "it does"}, secured=False)},
            "/readyz": {
                "get": _plainly(
                    "An event could be kept.", {"200": "it could", "503": "it could not"}, secured=False
                )
            },
            "/actors": {
                "get": _plainly("What is loaded.", {"200": "actors and pipelines", "401": "no live key"})
            },
        },
        "components": {
            "securitySchemes": {
                "eventKey": {"type": "http", "scheme": "bearer", "description": "`callboard keys create`"}
            },
            "schemas": {
                "CloudEvent": _cloud_event(),
                "Error": _error(),
                "PlainError": _plain_error(),
                "Ids": _ids(),
                **_events(),
            },
        },
    }


def _publish() -> dict[str, Any]:
    event = {"$ref": "#/components/schemas/CloudEvent"}
    batch = {"type": "array", "items": event, "minItems": 1, "maxItems": MOST_EVENTS}
    return {
        "operationId": "publish",
        "summary": "Publish one CloudEvent (binary: ce-* headers and the data; or structured), or a batch: all or none.",
        "security": [{"eventKey": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}},
                STRUCTURED: {"schema": event},
                BATCH: {"schema": batch},
            },
        },
        "responses": {
            "202": _answer("kept", "Ids"),
            **_refusals("400", "401", "403", "408", "413", "415", "422", "429", "503"),
        },
    }


def _plain() -> dict[str, Any]:
    one = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "data": {"type": "object"},
            "id": {"type": "string", "minLength": 1, "maxLength": 255},
            "ts": {"type": "integer", "minimum": 0, "description": "milliseconds since 1970"},
        },
    }
    body = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_EVENTS}]}
    return {
        "operationId": "send",
        "summary": "The plain form that event-function SDKs send; the event key stands in the path.",
        "parameters": [{"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _answer("kept", "Ids"),
            **_refusals("400", "401", "403", "408", "413", "415", "422", "429", "503", schema="PlainError"),
        },
    }


def _status() -> dict[str, Any]:
    return {
        **_plainly(
            "The runs of an event.",
            {"200": "known", "401": "no live key", "404": "unknown", "503": "come again"},
        ),
        "operationId": "event",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
    }


def _plainly(summary: str, answers: dict[str, str], *, secured: bool = True) -> dict[str, Any]:
    responses = {
        code: {"description": text, "content": {"application/json": {}}} for code, text in answers.items()
    }
    return {
        "summary": summary,
        "responses": responses,
        **({"security": [{"eventKey": []}]} if secured else {}),
    }


def _refusals(*codes: str, schema: str = "Error") -> dict[str, Any]:
    return {code: _answer("refused: nothing was kept", schema) for code in codes}


def _answer(text: str, schema: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _cloud_event() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 255}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": {"type": "string", "examples": sorted({kind.event_type for kind in registered()})[:5]},
            "time": {"type": "string", "format": "date-time"},
            "subject": {"type": "string"},
            "schemaversion": {"type": "string", "pattern": "^[0-9]{1,5}$"},
            "correlationid": text,
            "causationid": text,
            "data": {"type": "object"},
        },
    }


FAULTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["path", "message"],
        "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
    },
}


def _plain_error() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["error", "status", "type", "faults"],
        "properties": {
            "error": {"type": "string", "description": "all of it in one text"},
            "status": {"type": "integer"},
            "type": {"type": "string"},
            "faults": FAULTS,
        },
    }


def _error() -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["type", "message"],
        "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "faults": FAULTS},
    }
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _ids() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["ids"],
        "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
    }


def _events() -> dict[str, Any]:
    return {
        f"{kind.event_type}.v{kind.event_version}": kind.model_json_schema(
            by_alias=False,
            ref_template=f"#/components/schemas/{kind.event_type}.v{kind.event_version}/$defs/{{model}}",
        )
        for kind in registered()
    }
