"""Fixtures for the providers: a real web server a test."""

from collections.abc import Iterator

import pytest

from tests.actors.web import Web, serving


@pytest.fixture
def web() -> Iterator[Web]:
    """A server on the loopback address."""
    with serving() as server:
        yield server
