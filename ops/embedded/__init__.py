"""Servers that a process brings up for itself: a private PostgreSQL and a private RabbitMQ."""
