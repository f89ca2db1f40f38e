"""ops/docs/settings.md, made from the settings classes: `CALLBOARD_DEMO=1 callboard settings --page`."""

from collections.abc import Sequence

from pydantic import SecretBytes, SecretStr
from pydantic_settings import BaseSettings

from broker.environment import variable
from ops.setting_rows import group_name, shown, source_file

HEAD = """\
# Settings

Every setting is an environment variable. All have defaults that are safe in development; production sets
`CALLBOARD_DATABASE_URL`, and `CALLBOARD_BROKER_URL` for RabbitMQ. A wrong value is refused at start, by name and without the
value. Lengths of time are seconds (`10`) or ISO 8601 (`PT10S`).

With `_FILE` behind its name, each takes the path of a file that holds the value, as Docker and Kubernetes mount secrets:
`CALLBOARD_DATABASE_URL_FILE=/run/secrets/dsn`. One newline at the end is dropped. Both forms at once are an error.

`callboard settings` shows what is in effect and where it came from, secrets masked. `callboard settings --page` writes this
page; `tests/ops/test_settings.py` compares the two.
"""

TRACING = """\
## Tracing

Spans go where the standard variables say, over OTLP/HTTP; without an endpoint nothing is recorded, and trace ids are still
passed on. Read by [broker/telemetry.py](../../broker/telemetry.py), without a `_FILE` form: `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_SDK_DISABLED`,
`OTEL_TRACES_EXPORTER`.
"""

YOUR_OWN = """\
## Your own domain

A class in `actors/<domain>/settings.py` built on `broker.EnvironmentSettings` reads its variables in the same way, and is shown
by `callboard settings`: see [actors/pages/settings.py](../../actors/pages/settings.py).
"""

TESTING = """\
## Only for building and testing

`PYTHON` and `UV` name another Python and another uv, `UV=no` means pip ([ops/bootstrap.sh](../bootstrap.sh)).
`CALLBOARD_TEST_AMQP_URL` names a RabbitMQ that tests use instead of one of their own
([tests/support/servers.py](../../tests/support/servers.py)).
"""


def settings_page(kinds: Sequence[type[BaseSettings]]) -> str:
    """The whole page. It depends on the classes alone: not on what is set where it is made."""
    engine, *domains = kinds
    parts = [HEAD, _section(engine), TRACING, *map(_section, domains), YOUR_OWN, TESTING]
    return "\n".join(parts)


def _section(kind: type[BaseSettings]) -> str:
    path = source_file(kind)
    rows = [_row(kind, field) for field in kind.model_fields]
    return "\n".join(
        [
            f"## {group_name(kind).capitalize()}",
            "",
            f"Read by [{path}](../../{path}).",
            "",
            "| variable | default | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(kind: type[BaseSettings], field: str) -> str:
    info = kind.model_fields[field]
    default = _default(info.get_default(call_default_factory=True, validated_data={}))
    meaning = " ".join((info.description or "").split()).replace("|", "\\|")
    return f"| `{variable(kind, field)}` | {default} | {meaning} |"


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, SecretStr | SecretBytes):
        return "set" if value.get_secret_value() else "empty"
    text = shown(value)
    if not text:
        return "empty"
    return text if " " in text and not isinstance(value, str) else f"`{text}`"
