"""Deliveries that a shop has sent, handed on as events of the house."""
