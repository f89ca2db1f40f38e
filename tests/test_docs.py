"""The documents say what is so: each link leads somewhere, each example is code that works."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pika
import pytest

import actors.pages.scan as real_scan
import pipelines.page_scan as real_pipeline
import schemas.pages as real_schemas
from broker import Actor, Pipeline
from broker.codec import decode
from broker.topology import topology
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.seams import POINTS
from schemas import Envelope, Event, isolated, validate
from tests.support.servers import Rabbit
from tests.test_house import HOUSE, files

README = HOUSE / "README.md"
CRASH_POINTS = HOUSE / "ops/docs/crash-points.md"
REGRESSIONS = HOUSE / "ops/docs/regressions.md"
TEST = re.compile(r"\[`(test_\w+)`\]\((\S+\.py)\)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text())


def first_screen() -> str:
    return blocks()[0]


def publishing_example() -> str:
    [found] = [block for block in blocks() if "import pika" in block]
    return found


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def told(node: ast.AST) -> str:
    """Code without its layout."""
    return ast.unparse(node)


def function(tree: ast.Module, name: str) -> ast.FunctionDef:
    [found] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found


def options(actor: ast.FunctionDef) -> dict[str | None, str]:
    [decorator] = actor.decorator_list
    assert isinstance(decorator, ast.Call)
    return {keyword.arg: told(keyword.value) for keyword in decorator.keywords}


def links() -> Iterator[tuple[Path, str]]:
    for page in files("*.md"):
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in LINK.findall(prose):
            if "://" not in target and not target.startswith("mailto:"):
                yield page, target


def anchors(page: Path) -> set[str]:
    """Its headings, as GitHub names them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text()))
    return {name.replace(" ", "-") for name in plain}


def test_every_crash_point_that_is_tried_is_told() -> None:
    page = CRASH_POINTS.read_text()

    assert [point for point in POINTS if f"**{point}**" not in page] == []


def test_every_test_that_is_named_is_there() -> None:
    """And each finding of the page on regressions has at least one, but for that on schedules."""
    named = [(page, *match) for page in files("ops/docs/*.md") for match in TEST.findall(page.read_text())]
    assert named
    missing = [
        f"{page.name}: {name}"
        for page, name, place in named
        if f"def {name}(" not in (page.parent / place).read_text()
    ]
    assert missing == []

    rows = [line for line in REGRESSIONS.read_text().splitlines() if re.match(r"\| F\d+ \|", line)]
    assert [line.split("|")[1].strip() for line in rows] == [f"F{number}" for number in range(1, 17)]
    assert {line.split("|")[1].strip() for line in rows if not TEST.search(line)} <= {"F13"}


def test_relative_links_lead_somewhere() -> None:
    broken: list[str] = []
    for page, target in links():
        path, _, fragment = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (fragment and fragment not in anchors(place)):
            broken.append(f"{page.relative_to(HOUSE)}: {target}")
    assert broken == []


def test_python_in_the_readme_parses() -> None:
    assert len(blocks()) >= 5
    for block in blocks():
        ast.parse(block)


def test_the_first_screen_is_what_the_files_say() -> None:
    """It leaves out a notification, batches and a failure handler, and says nothing that is not there."""
    screen = ast.parse(first_screen())
    [event] = [node for node in screen.body if isinstance(node, ast.ClassDef)]
    [real_event] = [
        node
        for node in parsed(HOUSE / "schemas/pages.py").body
        if isinstance(node, ast.ClassDef) and node.name == event.name
    ]
    shown, real = function(screen, "scan"), function(parsed(HOUSE / "actors/pages/scan.py"), "scan")
    lines = [told(node) for node in real.body]

    fields = {told(node) for node in event.body}
    assert [told(node) for node in event.body] == [
        line for line in map(told, real_event.body) if line in fields
    ]
    assert options(shown).items() <= options(real).items()
    assert told(shown.args) == told(real.args)
    assert shown.returns is not None and real.returns is not None
    assert told(shown.returns) == told(real.returns)
    assert [told(node) for node in shown.body] == [
        line for line in lines if line in {told(n) for n in shown.body}
    ]
    assert told(screen.body[-1]) == told(parsed(HOUSE / "pipelines/page_scan.py").body[-1])


def test_the_first_screen_runs() -> None:
    names: dict[str, Any] = {"Event": Event}
    for module in (real_schemas, real_scan, real_pipeline):
        names |= vars(module)
    names["__name__"] = "readme"

    with isolated():
        exec(compile(first_screen(), str(README), "exec"), names)  # noqa: S102  our own example

    assert isinstance(names["scan"], Actor)
    assert names["scan"].publishes == (real_schemas.PageAnalyzeRequested,)
    assert isinstance(names["page_scan"], Pipeline)
    assert [actor.fn.__name__ for actor in names["page_scan"].actors] == ["scan", "analyze", "notify"]


def test_another_service_publishes_as_the_readme_shows(
    rabbit: Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = f"readme.{uuid4().hex[:8]}"
    transport = RabbitmqTransport(rabbit.url)
    transport.declare(topology("callboard", {queue: ["page.scan.requested"]}))
    transport.close()
    monkeypatch.setenv("AMQP_URL", rabbit.url)

    exec(compile(publishing_example(), str(README), "exec"), {"__name__": "readme"})  # noqa: S102  our own example

    connection = pika.BlockingConnection(pika.URLParameters(rabbit.url))
    channel = connection.channel()
    _, properties, body = channel.basic_get(queue, auto_ack=True)
    channel.queue_delete(queue)
    connection.close()
    assert properties is not None
    assert body is not None
    data = cast("bytes", body)  # the stubs say text
    envelope = decode(data, properties.headers or {}, properties.content_type or "")
    assert isinstance(envelope, Envelope)
    event = validate(envelope.type, envelope.version, envelope.data)
    assert isinstance(event, real_schemas.PageScanRequested)
    assert event.user_id == json.loads(data)["userId"]
    assert envelope.source == "/shop"


REASON = re.compile(
    r"""(?:GiveUp|give_up|DeadLetter)\(\s*"([a-z ]+)"|park\(\s*delivery,\s*"([a-z ]+)"|"""
    r"""_unknown\(delivery, "([a-z ]+)"|"(too large)" if"""
)


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    code = "\n".join(path.read_text() for path in (HOUSE / "broker").rglob("*.py"))
    reasons = {found for groups in REASON.findall(code) for found in groups if found}
    assert len(reasons) > 12
    page = (HOUSE / "ops/docs/dead-letters.md").read_text()
    assert {reason for reason in reasons if f"| {reason} |" not in page} == set()
