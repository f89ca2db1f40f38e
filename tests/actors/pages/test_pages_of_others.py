"""The scanner on pages that nobody here has written: the documentation in Debian's packages. Facts were read off them by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from actors.pages import providers
from actors.pages.parser import parse
from actors.pages.scan import scan
from schemas.pages import PageScanRequested
from tests.actors.stages import stage
from tests.support.samples import debian_pages

pytestmark = pytest.mark.slow

PACKAGES = ("postgresql-doc-15", "python3.11-doc", "apache2-doc", "debian-handbook")
EVERY = 5
"""Of 7,685 pages; all of them take 15 s."""


@dataclass(frozen=True)
class Facts:
    """What somebody who looks at the page's source finds there."""

    title: str
    headings: int
    images: int
    first: tuple[int, str]
    description: str | None = None
    link: str = ""


BY_HAND: dict[str, Facts] = {
    "postgresql-doc-15/html/sql-select.html": Facts("SELECT", 35, 0, (2, "SELECT"), link="sql-values.html"),
    "python3.11/html/library/json.html": Facts(
        "json — JSON encoder and decoder — Python 3.11.2 documentation",
        22,
        3,
        (3, "Table of Contents"),
        link="library/pickle.html",
    ),
    "debian-handbook/html/en-US/index.html": Facts(
        "The Debian Administrator's Handbook",
        5,
        2,
        (1, "The Debian Administrator's Handbook"),
        "A reference book presenting the Debian distribution, from initial installation to configuration of services.",
        "en-US/the-debian-project.html",
    ),
    "debian-handbook/html/zh-CN/index.html": Facts(
        "Debian 管理员手册",
        5,
        2,
        (1, "Debian 管理员手册"),
        "一本介绍 Debian 发行版的书，从初始的安装过程到配置各种服务。",  # noqa: RUF001
    ),
    # In EUC-KR, which is said in a meta element only.
    "apache2-doc/manual/ko/index.html": Facts(
        "Apache HTTP Server Version 2.4 문서 - Apache HTTP Server Version 2.4",
        7,
        2,
        (1, "Apache HTTP Server Version 2.4 문서"),
    ),
}


class Handler(SimpleHTTPRequestHandler):
    def guess_type(self, path: object) -> str:
        """Without a charset, as many servers do."""
        del path
        return "text/html"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the test output clean."""


@pytest.fixture(scope="module")
def pages() -> Path:
    return debian_pages(*PACKAGES)


@pytest.fixture
def site(pages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(pages)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("CALLBOARD_PAGES_ALLOWED_HOSTS", f"127.0.0.1:{server.server_port}")
    providers.forget()
    yield f"http://127.0.0.1:{server.server_port}/"
    providers.forget()
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_kept_is_what_stands_there(dsn: str, site: str) -> None:
    wanted = {uuid4(): name for name in BY_HAND}
    with stage(dsn, scan) as play:
        for id, name in wanted.items():
            play.publish(
                PageScanRequested.model_validate({"page_id": id, "url": site + name, "user_id": "ada"})
            )
        for _ in BY_HAND:
            play.drain()
            play.clock.advance(timedelta(minutes=1))  # ten starts a minute, one after the other
        kept = play.rows(
            "select id, status, title, jsonb_array_length(headings), jsonb_array_length(images), headings -> 0, meta_description,"
            " links from pages.page"
        )
    assert {wanted[id] for id, *_ in kept} == set(BY_HAND)
    for id, status, title, headings, images, first, description, links in kept:
        facts = BY_HAND[wanted[id]]
        assert (status, title, headings, images) == ("completed", facts.title, facts.headings, facts.images)
        assert (first["level"], first["text"]) == facts.first
        assert description == facts.description
        assert any(link["href"].endswith(facts.link) for link in links)


def test_every_fifth_page_is_read_and_has_a_title(pages: Path) -> None:
    found = sorted(pages.rglob("*.html"))[::EVERY]
    assert len(found) > 1_000
    without = [
        str(path.relative_to(pages))
        for path in found
        if not parse(path.read_bytes(), "https://docs.example/").title
    ]
    assert without in ([], ["apache2-doc/manual/index.html"])
