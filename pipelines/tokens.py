"""Tokens are refreshed before they expire: every five minutes somebody looks, and says whose turn it is."""

from periodiq import cron

from actors.tokens.refresh import refresh
from actors.tokens.sweep import sweep
from broker import Pipeline, Schedule
from schemas.tokens import TokenSweepDue

token_refresh = Pipeline("token-refresh", sweep | refresh)
sweep_tokens = Schedule("token-sweep", cron("*/5 * * * *"), TokenSweepDue(), timezone="UTC")
