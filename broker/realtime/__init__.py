"""Realtime channels: what runs broadcast, in the order of its commits, and the tokens with which one listens.

run ── broadcast, with its commit ── a row ── given its position by a reader ── told to who listens ── forgotten after an hour
"""

from broker.realtime.tokens import realtime_token

__all__ = ["realtime_token"]
