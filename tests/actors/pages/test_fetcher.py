"""Fetching pages from real servers, hostile ones among them."""

import gzip
import shutil
import ssl
import subprocess
import zlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from threading import Event

import httpcore
import pytest

from actors.pages.errors import (
    BrokenAnswerError,
    FetchTimeoutError,
    HttpStatusError,
    NotHtmlError,
    PageTooLargeError,
    RefusedAddressError,
    TooManyRedirectsError,
    UnreachableError,
)
from actors.pages.fetcher import FetchLimits, HttpFetcher
from tests.actors.web import Call, Web, serving

HTML = "text/html"


def fetcher_for(*webs: Web, **limits: int | timedelta) -> HttpFetcher:
    """A fetcher that may reach these servers on the loopback address."""
    return HttpFetcher(
        allowed_hosts=frozenset(web.authority for web in webs),
        limits=FetchLimits(**{"time": timedelta(seconds=10), **limits}),  # type: ignore[arg-type]
    )


class Dialler(httpcore.SyncBackend):
    """Connects to one test server whatever address it is given, and remembers the addresses."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.dialled: list[str] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self.dialled.append(host)
        return super().connect_tcp(self.web.host, self.web.port, timeout, local_address, socket_options)


def test_a_page_is_fetched_with_its_own_agent_and_nothing_secret(web: Web) -> None:
    web.routes["/"] = lambda call: call.page("<title>Hello</title>")

    page = fetcher_for(web).fetch(web.url("/?q=1#top"))

    assert (page.body, page.status, page.redirects) == (b"<title>Hello</title>", 200, ())
    assert page.content_type == "text/html; charset=utf-8"
    headers = web.requests[0].headers
    assert headers["host"] == web.authority
    assert headers["user-agent"].startswith("Callboard")
    assert not {"cookie", "authorization", "referer"} & headers.keys()


def test_a_proxy_in_the_environment_is_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.routes["/"] = Call.page
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert fetcher_for(web).fetch(web.url()).status == 200


def test_cookies_are_not_kept_over_a_redirect(web: Web) -> None:
    web.routes["/"] = lambda call: call.answer(302, location="/next", set_cookie="a=b")
    web.routes["/next"] = Call.page

    fetcher_for(web).fetch(web.url())

    assert "cookie" not in web.requests[1].headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_the_loopback_address_is_refused_and_never_called(web: Web, host: str) -> None:
    with pytest.raises(RefusedAddressError) as refusal:
        HttpFetcher().fetch(f"http://{host}:{web.port}/")

    assert refusal.value.final
    assert web.requests == []


def test_an_odd_spelling_of_an_allowed_address_stays_refused(web: Web) -> None:
    with pytest.raises(RefusedAddressError):
        fetcher_for(web).fetch(f"http://2130706433:{web.port}/")


def test_ipv6_is_fetched_where_it_is_allowed() -> None:
    try:
        with serving("::1") as web:
            web.routes["/"] = Call.page
            assert fetcher_for(web).fetch(web.url()).status == 200
            assert web.requests[0].headers["host"] == f"[::1]:{web.port}"
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_told(web: Web, status: int) -> None:
    web.routes["/old"] = lambda call: call.redirect("new?x=1#y", status)
    web.routes["/new"] = Call.page

    page = fetcher_for(web).fetch(web.url("/old"))

    assert page.url == web.url("/new?x=1")
    assert page.redirects == (web.url("/old"),)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/secret",
        "//127.0.0.1:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://①②⑦.⓪.⓪.①:{port}/secret",
        "http://[64:ff9b::7f00:1]:{port}/secret",
        "http://x@127.0.0.1:{port}/secret",
        "http://[::1/secret",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_the_inside_is_refused_at_that_hop(web: Web, location: str) -> None:
    """Given a server that is allowed, when it redirects to one that is not, then that one hears nothing."""
    with serving() as inside:
        web.routes["/"] = lambda call: call.redirect(location.format(port=inside.port))

        with pytest.raises(RefusedAddressError):
            fetcher_for(web).fetch(web.url())

        assert inside.requests == []


def test_five_redirects_are_followed_and_a_sixth_is_not(web: Web) -> None:
    for number in range(1, 7):
        web.routes[f"/{number}"] = lambda call, number=number: call.redirect(f"/{number - 1}")  # type: ignore[misc]
    web.routes["/0"] = Call.page

    assert len(fetcher_for(web).fetch(web.url("/5")).redirects) == 5
    with pytest.raises(TooManyRedirectsError):
        fetcher_for(web).fetch(web.url("/6"))


def test_a_name_is_resolved_once_and_the_checked_address_is_dialled(web: Web) -> None:
    """Given a name server that answers public first and loopback after, then only the first one counts."""
    web.routes["/"] = Call.page
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    dialler = Dialler(web)

    page = HttpFetcher(resolver=lambda host, port: next(answers), dialler=dialler).fetch(
        "http://shop.example/"
    )

    assert page.status == 200
    assert dialler.dialled == ["93.184.216.34"]
    assert web.requests[0].headers["host"] == "shop.example"


def test_each_hop_is_resolved_and_checked_anew(web: Web) -> None:
    web.routes["/"] = lambda call: call.redirect("/again")
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    dialler = Dialler(web)

    with pytest.raises(RefusedAddressError):
        HttpFetcher(resolver=lambda host, port: next(answers), dialler=dialler).fetch("http://shop.example/")

    assert dialler.dialled == ["93.184.216.34"]
    assert web.paths == ["/"]


@pytest.mark.parametrize("inside", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "64:ff9b::a00:1"])
def test_a_name_with_one_private_address_among_public_ones_is_refused(web: Web, inside: str) -> None:
    dialler = Dialler(web)

    with pytest.raises(RefusedAddressError, match=r"shop\.example"):
        HttpFetcher(resolver=lambda host, port: ["93.184.216.34", inside], dialler=dialler).fetch(
            "http://shop.example/"
        )

    assert dialler.dialled == []


def test_the_next_address_is_tried_when_the_first_does_not_answer(web: Web) -> None:
    web.routes["/"] = Call.page
    fetcher = HttpFetcher(
        allowed_hosts=frozenset({"shop.test"}), resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"]
    )

    assert fetcher.fetch(f"http://shop.test:{web.port}/").status == 200


def test_tls_checks_the_certificate_of_the_name_not_of_the_address(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-nodes"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", *files, *subject], check=True, capture_output=True
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    names: list[str | None] = []
    theirs.sni_callback = lambda connection, name, context: names.append(name)
    ours = ssl.create_default_context(cafile=str(certificate))

    with serving(tls=theirs) as web:
        web.routes["/"] = Call.page
        fetcher = HttpFetcher(resolver=lambda host, port: ["93.184.216.34"], tls=ours, dialler=Dialler(web))

        assert fetcher.fetch("https://shop.example/").status == 200
        with pytest.raises(UnreachableError, match="certificate"):
            fetcher.fetch("https://other.example/")

    assert names == ["shop.example", "other.example"]


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
    [("gzip", b"not gzip"), ("gzip", gzip.compress(b"x" * 999)[:-9]), ("br", b"x"), ("gzip, gzip", b"x")],
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
