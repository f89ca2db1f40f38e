"""Values that no text may show: what is marked in the events whose run the current thread or task performs.

They are taken out of errors before these are stored, and out of every finished log line. An author who writes one into an error
has not published it.
"""

import json
from collections.abc import Sequence
from contextvars import ContextVar

from schemas import Event
from schemas.marks import HIDDEN, is_marked, marked_texts

_VALUES: ContextVar[tuple[str, ...]] = ContextVar("hidden_values", default=())


def hide(events: Sequence[Event]) -> None:
    """From here on in this thread or task, until it is called again: what is logged of a run after its body is its own too."""
    found = [text for event in events if is_marked(type(event)) for text in marked_texts(event)]
    if found or _VALUES.get():
        written = [json.dumps(text, ensure_ascii=False)[1:-1] for text in found]
        _VALUES.set(tuple(sorted({*found, *written}, key=len, reverse=True)))


def without_hidden(text: str) -> str:
    for value in _VALUES.get():
        if value in text:
            text = text.replace(value, HIDDEN)
    return text
