"""Payloads on a screen, without what is marked in them as secret or personal."""

from typing import Annotated, Any

import typer

from schemas import UnknownType, UnknownVersion, find
from schemas.marks import HIDDEN, masked

Reveal = Annotated[
    bool,
    typer.Option("--reveal", help="Also what is marked as secret or personal; it is noted who looked."),
]


def without_marked(event_type: str | None, payload: dict[str, Any] | None) -> dict[str, Any] | None:
    """With `***` for each field that the type marks; for every field of a type that nobody here knows, and so its marks."""
    if payload is None:
        return None
    try:
        return masked(find(event_type or ""), payload)
    except (UnknownType, UnknownVersion):
        return dict.fromkeys(payload, HIDDEN)
