"""From a shell or a stranger's script to the last stage, through worker processes."""

import ast
from pathlib import Path
from uuid import uuid4

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import scan_asked, scanned_and_told, song_made, song_paid
from tests.support.installation import Installation
from tests.support.stranger import SCRIPT, cloud_event, publish_as_stranger

pytestmark = pytest.mark.end_to_end


def test_a_request_from_the_shell_is_scanned_analysed_and_told(
    on_either: Installation, site: DemoSite
) -> None:
    with on_either.workers(processes=2) as workers:
        page_id = scan_asked(on_either, site.urls[1])
        scanned_and_told(on_either, page_id)
        assert not workers.died()
    assert workers.process.returncode == 0


def test_a_payment_from_the_shell_becomes_three_songs(on_either: Installation) -> None:
    with on_either.workers(processes=2):
        order_id = song_paid(on_either)
        song_made(on_either, order_id)
    songs = sorted((on_either.directory / "songs" / "orders" / str(order_id)).iterdir())
    assert [song.name for song in songs] == ["1.wav", "2.wav", "3.wav"]


def test_the_strangers_script_imports_nothing_of_ours() -> None:
    tree = ast.parse(SCRIPT.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"json", "sys", "pika"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize(
    ("event_type", "key", "camel"),
    [
        ("page.scan.requested", "page.scan.requested", False),
        ("page/scan.requested", "page.scan.requested", True),
        ("page/scan.requested", "page/scan.requested", True),
    ],
)
def test_a_stranger_with_pika_starts_the_pipeline(
    event_type: str,
    key: str,
    camel: bool,
    on_rabbitmq: Installation,
    amqp_url: str,
    site: DemoSite,
    tmp_path: Path,
) -> None:
    page_id = uuid4()
    names = ("pageId", "url", "userId") if camel else ("page_id", "url", "user_id")
    data: dict[str, object] = dict(zip(names, (str(page_id), site.urls[2], "stranger"), strict=True))
    with on_rabbitmq.workers():
        publish_as_stranger(amqp_url, [cloud_event(event_type, data, key=key)], tmp_path)
        scanned_and_told(on_rabbitmq, page_id)
