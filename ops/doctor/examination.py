"""All checks in the order of a visit: what is installed, what answers, what stands, how the work goes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import psycopg
from pika.exceptions import AMQPError

from broker import ConfigurationError, load_settings
from broker.errors import CallboardError
from ops.doctor import database, environment, links, queues, roles, software, users, work
from ops.doctor.finding import Finding, Remarks, Report
from ops.doctor.patient import Patient, admitted
from ops.reach import reason_of

Need = Literal["postgresql", "tables", "rabbitmq"]


@dataclass(frozen=True, slots=True)
class Check:
    """`look` yields at least one remark and changes nothing; `needs` must be there, or the check is skipped."""

    id: str
    look: Callable[[Patient], Remarks]
    needs: tuple[Need, ...] = ()


CHECKS = (
    Check("python", software.python),
    Check("libraries", software.libraries),
    Check("settings", environment.settings),
    Check("demo", environment.demo),
    Check("wiring", environment.wiring),
    Check("postgresql", software.postgresql),
    Check("rabbitmq", software.rabbitmq),
    Check("clock", database.clock, ("postgresql",)),
    Check("permissions", database.permissions, ("postgresql",)),
    Check("roles", roles.roles, ("tables",)),
    Check("schema", database.schema, ("postgresql",)),
    Check("sessions", database.sessions, ("postgresql",)),
    Check("connections", database.connections, ("postgresql",)),
    Check("database-link", links.postgresql, ("postgresql",)),
    Check("broker-link", links.rabbitmq, ("rabbitmq",)),
    Check("broker-users", users.users, ("rabbitmq",)),
    Check("exchanges", queues.exchanges, ("rabbitmq",)),
    Check("queues", queues.queues, ("rabbitmq",)),
    Check("bindings", queues.bindings, ("tables",)),
    Check("strangers", queues.strangers, ("tables",)),
    Check("consumers", queues.consumers, ("tables", "rabbitmq")),
    Check("due-runs", work.due_runs, ("tables",)),
    Check("outbox", work.outbox, ("tables",)),
    Check("schedules", work.schedules, ("tables",)),
    Check("paused", work.paused, ("tables",)),
    Check("workers", work.workers, ("tables",)),
    Check("leader", work.leader, ("tables",)),
    Check("orphans", work.orphans, ("tables",)),
    Check("dead-letters", work.dead_letters, ("tables",)),
    Check("unheard", work.unheard, ("tables",)),
)


def examine() -> Report:
    """Read the environment and make every check that can be made. Raises nothing that a server or a setting is to blame for."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        fault = Finding("settings", "fail", str(error), "correct it; see ops/docs/settings.md")
        return Report((fault,), {check.id: "settings" for check in CHECKS if check.id != "settings"})
    with admitted(settings) as patient:
        lacking = {check.id: lack for check in CHECKS if (lack := _lack(check, patient))}
        findings = [found for check in CHECKS if check.id not in lacking for found in _made(check, patient)]
    return Report(tuple(findings), lacking)


def _lack(check: Check, patient: Patient) -> str | None:
    """What the check needs and cannot have. Checks of RabbitMQ are none where it is not used, but for those that ask both."""
    if check.needs == ("rabbitmq",) and not patient.on_rabbitmq:
        return "RabbitMQ, which is not used"
    names = {"postgresql": "PostgreSQL", "rabbitmq": "RabbitMQ", "tables": patient.trouble.get("tables", "")}
    return next((names[need] for need in check.needs if need in patient.trouble), None)


def _made(check: Check, patient: Patient) -> Iterator[Finding]:
    try:
        for remark in check.look(patient):
            yield Finding(check.id, remark.state, remark.found, remark.fix)
    except (psycopg.Error, AMQPError, CallboardError) as error:
        yield Finding(
            check.id, "fail", f"could not be looked at: {reason_of(error)}", "see the findings above"
        )
