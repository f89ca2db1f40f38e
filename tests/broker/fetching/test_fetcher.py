"""Fetching pages from real servers, hostile ones among them."""

import gzip
import zlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from threading import Event

import pytest

from broker.fetching.errors import (
    BrokenAnswerError,
    FetchTimeoutError,
    HttpStatusError,
    NotHtmlError,
    PageTooLargeError,
    UnreachableError,
)
from broker.fetching.fetcher import FetchLimits, HttpFetcher
from tests.broker.fetching.dialler import HTML, fetcher_for
from tests.support.web import Call, Web, serving


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_compressed_page_is_decompressed(web: Web, encoding: str) -> None:
    text = b"<title>" + b"a" * 300_000 + b"</title>"
    packers: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    data = packers.get(encoding, bytes)(text)
    web.routes["/"] = lambda call: call.answer(200, data, content_type=HTML, content_encoding=encoding)

    assert fetcher_for(web).fetch(web.url()).body == text


def test_a_gzip_of_several_members_is_read_to_its_end(web: Web) -> None:
    data = gzip.compress(b"one") + gzip.compress(b"two")
    web.routes["/"] = lambda call: call.answer(200, data, content_type=HTML, content_encoding="gzip")

    assert fetcher_for(web).fetch(web.url()).body == b"onetwo"


def test_a_gzip_bomb_is_stopped_at_the_limit(web: Web) -> None:
    """Given 100 MB in 100 KB, then it is refused, although what travels is under the limit."""
    bomb = gzip.compress(b"\0" * 100_000_000)
    assert len(bomb) < 1_000_000
    web.routes["/"] = lambda call: call.answer(200, bomb, content_type=HTML, content_encoding="gzip")

    with pytest.raises(PageTooLargeError) as refusal:
        fetcher_for(web, max_bytes=1_000_000).fetch(web.url())

    assert refusal.value.final


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"x" * 999, mtime=0)[:-9]),
        ("br", b"x"),
        ("gzip, gzip", b"x"),
    ],
)
def test_a_body_that_does_not_decompress_is_an_error(web: Web, encoding: str, data: bytes) -> None:
    web.routes["/"] = lambda call: call.answer(200, data, content_type=HTML, content_encoding=encoding)

    with pytest.raises(BrokenAnswerError):
        fetcher_for(web).fetch(web.url())


def _chunked(call: Call, chunks: Iterable[bytes]) -> None:
    call.send_response(200)
    call.send_header("Content-Type", HTML)
    call.send_header("Transfer-Encoding", "chunked")
    call.end_headers()
    for chunk in (*chunks, b""):
        call.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        call.wfile.flush()


def test_a_chunked_page_is_put_together_and_limited_too(web: Web) -> None:
    web.routes["/"] = lambda call: _chunked(call, [b"<p>", b"a" * 1_000])

    assert len(fetcher_for(web).fetch(web.url()).body) == 1_003
    with pytest.raises(PageTooLargeError):
        fetcher_for(web, max_bytes=1_002).fetch(web.url())


def test_a_page_of_exactly_the_limit_is_fetched(web: Web) -> None:
    web.routes["/"] = lambda call: call.page(b"a" * 1_000)

    assert len(fetcher_for(web, max_bytes=1_000).fetch(web.url()).body) == 1_000


@pytest.mark.parametrize(
    "content_type", ["application/pdf", "image/png", "text/plain", "application/json", ""]
)
def test_what_is_not_html_is_refused(web: Web, content_type: str) -> None:
    web.routes["/"] = lambda call: call.answer(200, b"%PDF", content_type=content_type)

    with pytest.raises(NotHtmlError) as refusal:
        fetcher_for(web).fetch(web.url())

    assert refusal.value.final


@pytest.mark.parametrize(
    ("status", "final"), [(404, True), (410, True), (429, False), (500, False), (304, False)]
)
def test_a_bad_status_says_whether_another_try_can_help(web: Web, status: int, final: bool) -> None:
    web.routes["/"] = lambda call: call.answer(status, retry_after="17")

    with pytest.raises(HttpStatusError) as refusal:
        fetcher_for(web).fetch(web.url())

    assert (refusal.value.status, refusal.value.retry_after, refusal.value.final) == (status, "17", final)


def test_a_server_that_never_answers_is_left_in_time(web: Web) -> None:
    def hang(call: Call) -> None:
        call.server.web.closing.wait()

    web.routes["/"] = hang

    with pytest.raises(FetchTimeoutError):
        fetcher_for(web, time=timedelta(milliseconds=200)).fetch(web.url())


def test_a_server_that_sends_a_byte_at_a_time_is_left_in_time(web: Web) -> None:
    """Given bytes that each come in time, then the limit is still that of the whole page."""

    def drip(call: Call) -> None:
        call.send_response(200)
        call.send_header("Content-Type", HTML)
        call.end_headers()
        while not call.server.web.closing.wait(0.02):
            call.wfile.write(b"a")

    web.routes["/"] = drip

    with pytest.raises(FetchTimeoutError):
        fetcher_for(web, time=timedelta(milliseconds=300)).fetch(web.url())


def test_a_name_server_that_never_answers_is_left_in_time() -> None:
    over = Event()

    def hang(host: str, port: int) -> list[str]:
        over.wait()
        return []

    with pytest.raises(FetchTimeoutError):
        HttpFetcher(resolver=hang, limits=FetchLimits(time=timedelta(milliseconds=100))).fetch(
            "http://a.example/"
        )
    over.set()


def test_a_name_that_does_not_resolve_may_be_tried_again() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(UnreachableError) as failure:
        HttpFetcher(resolver=fail).fetch("http://a.example/")

    assert not failure.value.final


def test_a_closed_port_is_unreachable() -> None:
    with serving() as web:
        gone = web
    with pytest.raises(UnreachableError):
        fetcher_for(gone).fetch(gone.url())


def test_an_answer_that_is_no_http_is_an_error(web: Web) -> None:
    def greet(call: Call) -> None:
        call.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    web.routes["/"] = greet

    with pytest.raises(BrokenAnswerError):
        fetcher_for(web).fetch(web.url())


def test_a_page_that_breaks_off_is_an_error(web: Web) -> None:
    def break_off(call: Call) -> None:
        call.answer(200, b"half", content_type=HTML, content_length="100")
        call.close_connection = True

    web.routes["/"] = break_off

    with pytest.raises(BrokenAnswerError):
        fetcher_for(web).fetch(web.url())
