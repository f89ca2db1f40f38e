"""A service that knows RabbitMQ and CloudEvents, and nothing of this code."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

SCRIPT = Path(__file__).parents[1] / "end_to_end" / "scripts" / "publish_with_pika.py"
Message = Mapping[str, object]


def cloud_event(
    event_type: str, data: Mapping[str, object], *, key: str | None = None, **attributes: str
) -> Message:
    """In binary mode, as the AMQP binding of CloudEvents writes it; the routing key is the type unless given."""
    headers = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "stranger",
        "type": event_type,
        **attributes,
    }
    return raw(
        key or event_type,
        json.dumps(data).encode(),
        {f"cloudEvents_{name}": value for name, value in headers.items()},
    )


def raw(key: str, body: bytes, headers: Mapping[str, str], content_type: str = "application/json") -> Message:
    """Any bytes at all."""
    return {"key": key, "body": body.decode("latin-1"), "headers": headers, "content_type": content_type}


def publish_as_stranger(
    url: str, messages: Sequence[Message], directory: Path, exchange: str = "callboard.events"
) -> None:
    """From a process that runs isolated (`-I`: no path of ours, no variable of ours) and elsewhere. Returns when confirmed."""
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), url, exchange],
        input="\n".join(json.dumps(message) for message in messages), cwd=directory, env={}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
