"""Schedules: events that are published because it is time. Declared beside pipelines, kept as rows, ticked by whoever leads.

declared ── boot ── waiting ── its time has come: event and tick in one commit ── waiting …
                      │  └ paused ── resumed: what fell due meanwhile is not made up for
                      └ gone from the code: retired, its rows are kept
"""

from broker.schedules.schedule import Missed, Schedule, Tick

__all__ = ["Missed", "Schedule", "Tick"]
