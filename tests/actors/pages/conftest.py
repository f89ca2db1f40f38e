"""Fixtures for the actors of pages: settings that let them reach the test's server."""

from collections.abc import Iterator

import pytest

from actors.pages import providers
from tests.support.web import Web


@pytest.fixture
def open_web(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that pages may be fetched from although it is on the loopback address."""
    monkeypatch.setenv("CALLBOARD_PAGES_ALLOWED_HOSTS", web.authority)
    providers.forget()
    yield web
    providers.forget()
