"""Stages on both transports, as in the engine's tests."""

from tests.broker.engine.conftest import amqp, database, make_stage

__all__ = ["amqp", "database", "make_stage"]
