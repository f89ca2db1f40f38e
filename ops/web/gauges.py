"""How things stand, as `/metrics` tells it: each a look at an index, or at a table as small as the backlog."""

from collections.abc import Mapping

from broker.instruments import Metric


def _gauge(name: str, unit: str, text: str, labels: tuple[str, ...], statement: str) -> tuple[Metric, str]:
    return Metric(f"callboard_{name}", "gauge", unit, labels, text), statement


GAUGES: Mapping[Metric, str] = dict(
    [
        _gauge(
            "dead_letters_open",
            "{event}",
            "Dead letters that wait for somebody",
            ("reason",),
            "select reason, count(*) from dead_letter where settled_at is null group by reason order by reason",
        ),
        _gauge(
            "outbox_events",
            "{event}",
            "Events that are kept and not sent",
            (),
            "select count(*) from outbox",
        ),
        _gauge(
            "outbox_lag_seconds",
            "s",
            "Age of the oldest event that is due and not sent",
            (),
            "select coalesce(max(extract(epoch from clock() - send_at)), 0) from outbox where send_at < clock()",
        ),
        _gauge(
            "runs_due_lag_seconds",
            "s",
            "How long the run has been due that waits longest for a worker",
            (),
            "select coalesce(max(extract(epoch from clock() - due_at)), 0) from run where due_at < clock()",
        ),
        _gauge(
            "runs_timed",
            "{run}",
            "Runs with a due time: retries, sleeps, throttled starts, what gathers",
            ("actor", "status"),
            "select actor, status, count(*) from run where due_at is not null group by 1, 2 order by 1, 2",
        ),
        _gauge(
            "slots",
            "{run}",
            "Runs at a concurrency limit, by what they have of it",
            ("scope", "state"),
            "select scope, state, count(*) from limit_slot group by 1, 2 order by 1, 2",
        ),
        _gauge(
            "runs_paused",
            "{run}",
            "Runs that wait for something to be resumed",
            ("kind", "name"),
            "select kind, name, count(*) from pause_run group by 1, 2 order by 1, 2",
        ),
        _gauge(
            "workers",
            "{process}",
            "Worker processes that have been heard within their lease",
            ("version",),
            "select version, count(*) from worker where heartbeat_at > clock_timestamp() - %(lease)s::interval "
            "group by 1 order by 1",
        ),
        _gauge(
            "deliveries",
            "{event}",
            "Deliveries of the postgres transport that nobody has claimed",
            ("queue",),
            "select queue, count(*) from delivery group by 1 order by 1",
        ),
    ]
)
"""Each with its statement: its labels, then its value. `%(lease)s` is how long a worker may be silent."""
