"""Facts of a page on their way through an event."""

import pytest

from actors.pages.facts import Image, Link, PageFacts
from actors.pages.parser import parse
from actors.pages.scanned import MAX_BYTES, facts_of, scanned
from broker import NonRetriable, RetryAfter, judged
from broker.fetching.errors import HttpStatusError, NotHtmlError, UnreachableError
from schemas.pages import ScannedPage

URL = "https://example.com/a"


def test_facts_come_back_as_they_went() -> None:
    html = """<html lang="en"><title>Hi</title><meta name="viewport" content="width=device-width">
    <meta property="og:title" content="Hi"><h1>One</h1><img src="/x.png"><a href="/b" rel="nofollow">b</a>"""
    facts = parse(html, URL)

    assert facts_of(scanned(facts), "https://elsewhere.example/") == facts


def test_a_page_of_long_links_still_fits_an_event_and_keeps_its_counts() -> None:
    long = "https://example.com/" + "x" * 1_900
    facts = PageFacts(
        url=URL,
        html_length=1,
        links=tuple(Link(href=long, text="t" * 500, rel="", internal=True) for _ in range(300)),
        link_count=900,
        images=tuple(Image(src=long, alt=None) for _ in range(200)),
        image_count=200,
    )

    page = scanned(facts)

    assert len(page.model_dump_json().encode()) <= MAX_BYTES
    assert (page.link_count, page.image_count) == (900, 200)
    assert page.links
    assert page.images


def test_what_another_scanner_did_not_count_is_counted_from_its_lists() -> None:
    told = {"htmlLength": 10, "links": [{"href": "http://x.example/", "text": ""}], "images": [{"src": "a"}]}

    facts = facts_of(ScannedPage.model_validate(told), URL)

    assert (facts.url, facts.link_count, facts.links_without_text, facts.insecure_link_count) == (
        URL,
        1,
        1,
        1,
    )
    assert (facts.images_without_alt, facts.title_count) == (1, 0)


def test_errors_of_providers_become_signals() -> None:
    with pytest.raises(NonRetriable), judged():
        raise NotHtmlError("a film")
    with pytest.raises(NonRetriable), judged():
        raise HttpStatusError(URL, 404)
    with pytest.raises(RetryAfter), judged():
        raise HttpStatusError(URL, 503, "3")
    with pytest.raises(HttpStatusError), judged():
        raise HttpStatusError(URL, 503, "soon")
    with pytest.raises(UnreachableError), judged():
        raise UnreachableError("nobody there")
