"""The engine against real servers: journal, claims, crash points, outages."""
