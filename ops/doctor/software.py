"""Versions: of Python, of what is installed beside it, and of the servers."""

import re
import sys
from importlib import metadata

from ops.doctor.finding import Remarks, fail, ok, some, warn
from ops.doctor.patient import Patient
from ops.reach import broker_place, database_place

PYTHON = (3, 11)
POSTGRES = 14
RABBITMQ = (3, 10)
"""The first with at-least-once dead-lettering, which every queue of ours asks for."""
TOLD = ("dramatiq", "psycopg", "pika", "pydantic")

_REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[[^]]*])?([^;]*)$")
_BOUND = re.compile(r"(==|>=|<)([\d.]+)")


def python(_: Patient) -> Remarks:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield fail(f"Python {found}", f"Callboard needs {PYTHON[0]}.{PYTHON[1]} or later")
    else:
        yield ok(f"Python {found}")


def libraries(_: Patient) -> Remarks:
    """What is installed against what Callboard itself declares."""
    wrong = [fault for text in metadata.requires("callboard") or () if (fault := unmet(text))]
    if wrong:
        yield fail(some(wrong), "install the requirements anew: ops/requirements/README.md")
    else:
        yield ok(", ".join(f"{name} {metadata.version(name)}" for name in TOLD))


def postgresql(patient: Patient) -> Remarks:
    if trouble := patient.trouble.get("postgresql"):
        yield fail(trouble, "look whether it runs and whether CALLBOARD_DATABASE_URL is right")
        return
    version = patient.db.info.server_version
    found = f"{database_place(patient.settings)}, version {version // 10_000}.{version % 10_000}"
    if version // 10_000 < POSTGRES:
        yield fail(found, f"Callboard needs PostgreSQL {POSTGRES} or later")
    else:
        yield ok(found)


def rabbitmq(patient: Patient) -> Remarks:
    if not patient.on_rabbitmq:
        yield ok("not used: CALLBOARD_BROKER_URL is not set, so events travel through PostgreSQL")
        return
    if trouble := patient.trouble.get("rabbitmq"):
        yield fail(trouble, "look whether it runs and whether CALLBOARD_BROKER_URL is right")
        return
    found = f"{broker_place(patient.settings)}, version {patient.amqp.version}"
    if _numbers(patient.amqp.version)[:2] < RABBITMQ:
        yield fail(found, f"Callboard needs RabbitMQ {RABBITMQ[0]}.{RABBITMQ[1]} or later")
    elif patient.amqp.silent:
        yield warn(
            f"no answer from {some(list(patient.amqp.silent))}", "start the node, or take it out of the URL"
        )
    else:
        yield ok(found)


def unmet(requirement: str) -> str | None:
    """What is wrong with the installation of one declared requirement; None for those of an extra."""
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return None
    name, bounds = match[1], match[2].strip()
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    if all(_within(_numbers(found), sign, _numbers(bound)) for sign, bound in _BOUND.findall(bounds)):
        return None
    return f"{name} {found} is not {bounds}"


def _within(found: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    if sign == "==":
        return found == bound
    return found >= bound if sign == ">=" else found < bound


def _numbers(version: str) -> tuple[int, ...]:
    """`4.1.0-rc.1` → (4, 1, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()
