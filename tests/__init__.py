"""Mirrors the rooms; a package, so that `tests/broker/` cannot shadow `broker`."""
