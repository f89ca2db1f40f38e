"""Stages on both transports, as in the engine's tests, and a clean diary for each test."""

from collections.abc import Iterator

import pytest

from tests.broker.engine.conftest import amqp, database, make_stage
from tests.support import wait_cast

__all__ = ["amqp", "database", "make_stage"]


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    wait_cast.forget()
    yield
    wait_cast.forget()
