"""Stages on both transports, as in the engine's tests, and a clean diary for each test."""

from collections.abc import Iterator

import pytest

from tests.broker.engine.conftest import database, make_stage
from tests.support import flow_cast

__all__ = ["database", "make_stage"]


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    flow_cast.forget()
    yield
    flow_cast.forget()
