"""The inbox domain: counts and aggregates of each client, recomputed off the request, once a burst of changes."""
