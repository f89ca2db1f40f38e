"""From a client's changes to its counts, and to its aggregates where they are old."""

from periodiq import cron

from actors.inbox.collect import collect
from actors.inbox.recompute import recompute
from actors.inbox.refresh_analytics import refresh_analytics
from actors.inbox.sweep import sweep
from broker import Pipeline, Schedule
from schemas.inbox import InboxSweepDue

inbox_counts = Pipeline("inbox-counts", collect | recompute)
inbox_sweep = Pipeline("inbox-sweep", sweep)
inbox_analytics = Pipeline("inbox-analytics", refresh_analytics)
sweep_every_five_minutes = Schedule("inbox-sweep", cron("*/5 * * * *"), InboxSweepDue(), timezone="UTC")
