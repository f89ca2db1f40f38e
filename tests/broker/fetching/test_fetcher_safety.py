"""Where a fetch may go: what it sends, whom it calls, and which redirects it follows."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from broker.fetching.errors import (
    RefusedAddressError,
    TooManyRedirectsError,
    UnreachableError,
)
from broker.fetching.fetcher import HttpFetcher
from tests.broker.fetching.dialler import Dialler, fetcher_for
from tests.support.web import Call, Web, serving


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
