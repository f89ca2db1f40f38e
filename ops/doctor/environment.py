"""Settings and wiring: what was meant, as far as it can be seen without a server."""

import os
import re

from pydantic_settings import BaseSettings

from broker import Settings
from broker.environment import FILE, variable
from broker.wiring import nearest
from ops.doctor.alert_settings import AlertSettings
from ops.doctor.finding import Remarks, fail, ok, some, warn
from ops.doctor.patient import Patient, on_this_machine
from ops.setting_rows import read_groups

_OTHERS = re.compile(r"CALLBOARD_(PG_BINDIR|RABBITMQ_ROOT|TEST_\w+)$")
"""Read by the embedded servers and the tests, which have no settings class."""


def settings(patient: Patient) -> Remarks:
    kinds: list[type[BaseSettings]] = [Settings, AlertSettings, *patient.app.settings]
    known = {variable(kind, field) for kind in kinds for field in kind.model_fields}
    given = sorted(name for name in os.environ if name.startswith("CALLBOARD_"))
    strange = [n for n in given if n.removesuffix(FILE) not in known and not _OTHERS.match(n)]
    for name in strange:
        yield warn(
            f"{name} is set, and nothing reads it",
            f"`callboard settings` lists what is read{nearest(name.removesuffix(FILE), known)}",
        )
    wrong = [f"{group.name}: {group.error}" for group in read_groups(kinds) if group.error]
    if wrong:
        yield fail(some(wrong), "correct it; see ops/docs/settings.md")
    if not strange and not wrong:
        yield ok(f"{len(given)} CALLBOARD_* variables are set, all are read")


def demo(patient: Patient) -> Remarks:
    """A house with actors of its own, or with its database elsewhere, is no demo."""
    if not patient.settings.demo:
        yield ok("the demo is off")
    elif patient.settings.apps or not on_this_machine(patient.settings):
        yield warn(
            "CALLBOARD_DEMO is on, and this looks like production: the demo's actors hear events and keep tables here",
            "unset CALLBOARD_DEMO",
        )
    else:
        yield ok("the demo is on, on this machine")


def wiring(patient: Patient) -> Remarks:
    if trouble := patient.trouble.get("actors"):
        yield fail(trouble, "correct it; the checks of queues go on without the actors")
        return
    faults = patient.app.faults()
    if faults:
        yield fail(
            some([f"{fault.subject}: {fault.problem}" for fault in faults], 2), "see `callboard check`"
        )
    elif not patient.app.actors:
        yield warn("no actors are loaded", "name your packages in CALLBOARD_APPS")
    else:
        yield ok(f"{len(patient.app.actors)} actors, {len(patient.app.pipelines)} pipelines, no faults")
