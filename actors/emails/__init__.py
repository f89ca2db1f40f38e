"""The emails domain: what a store tells its customers, and a log of every message with what became of it."""
