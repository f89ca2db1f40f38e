"""RabbitMQ: two connections a process, pipelined confirms, settlements keyed by the life of their channel."""

from broker.transports.rabbitmq.transport import RabbitmqTransport

__all__ = ["RabbitmqTransport"]
