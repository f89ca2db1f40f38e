"""Reading facts out of good, broken and hostile HTML."""

import json

import pytest

from actors.pages.facts import MAX_HEADINGS, MAX_IMAGES, MAX_LINKS, MAX_TEXT
from actors.pages.parser import parse
from broker.fetching.errors import PageTooDeepError

URL = "https://shop.example/plays/tide.html"
PAGE = """<!doctype html>
<html lang="en"><head>
<title>  The Tide
  Table </title>
<META NAME="Description" CONTENT="Two sisters &amp; a ferry">
<meta name="keywords" content="ferry, sisters">
<meta name="robots" content="index, follow">
<meta name="viewport" content="width=device-width">
<meta property="og:title" content="Tide">
<link rel="alternate canonical" href="/plays/tide.html#x">
<script type="application/ld+json">{"@type": "Play"}</script>
</head><body>
<h1>The <em>Tide</em> Table</h1><h3>Cast</h3>
<p>Eleven words stand here for readers, and none in scripts.</p>
<script>var not = "counted at all";</script>
<img src="one.jpg" alt="A ferry"><img src="two.jpg"><img src="three.jpg" alt>
<img src="data:image/png;base64,AAAA" alt="">
<a href="../season.html#top" rel="nofollow">Season</a>
<a href="https://www.shop.example/x"><img src="x.png" alt="Tickets"></a>
<a href="http://other.example/"> </a>
<a href="mailto:a@b.example">Write</a><a href="#cast">Cast</a><a href="javascript:void(0)">No</a><a>none</a>
</body></html>"""


def test_a_page_is_read() -> None:
    facts = parse(PAGE, URL, "text/html")

    assert facts.title == "The Tide Table"
    assert facts.meta_description == "Two sisters & a ferry"
    assert facts.meta_keywords == "ferry, sisters"
    assert (facts.robots, facts.viewport, facts.lang) == ("index, follow", "width=device-width", "en")
    assert facts.canonical == URL
    assert facts.open_graph == {"title": "Tide"}
    assert facts.structured_data_count == 1
    assert facts.html_length == len(PAGE)


def test_headings_keep_their_level_and_order() -> None:
    assert [(h.level, h.text) for h in parse(PAGE, URL).headings] == [(1, "The Tide Table"), (3, "Cast")]


def test_images_tell_a_missing_alt_from_an_empty_one() -> None:
    facts = parse(PAGE, URL)

    assert [image.alt for image in facts.images] == ["A ferry", None, "", "", "Tickets"]
    assert facts.images[0].src == "https://shop.example/plays/one.jpg"
    assert (facts.image_count, facts.images_without_alt) == (5, 1)


def test_links_are_absolute_and_know_their_site() -> None:
    facts = parse(PAGE, URL)

    assert [(link.href, link.text, link.internal) for link in facts.links] == [
        ("https://shop.example/season.html", "Season", True),
        ("https://www.shop.example/x", "Tickets", True),
        ("http://other.example/", "", False),
    ]
    assert facts.links[0].rel == "nofollow"
    assert (facts.link_count, facts.internal_link_count) == (3, 2)
    assert (facts.links_without_text, facts.insecure_link_count) == (1, 1)


def test_only_what_a_reader_sees_is_counted_as_words() -> None:
    assert parse("<body><p>one two<script>three</script><style>four</style> five", URL).word_count == 3


def test_a_base_element_moves_relative_links() -> None:
    facts = parse('<base href="https://cdn.example/a/"><a href="b">b</a>', URL)

    assert facts.links[0].href == "https://cdn.example/a/b"
    assert not facts.links[0].internal


@pytest.mark.parametrize(
    "html", ["", b"", "<", "<html", "plain text", "<!-- never closed", "\ufffe", "</p></p><table>"]
)
def test_broken_html_still_has_facts(html: str | bytes) -> None:
    facts = parse(html, URL)

    assert (facts.title, facts.headings, facts.links) == (None, (), ())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<title>Größe</title>".encode(), "text/html; charset=utf-8"),
        ("<title>Größe</title>".encode("iso-8859-1"), 'text/html; charset="ISO-8859-1"'),
        ("<title>Größe</title>".encode(), "text/html"),
        ("<title>Größe</title>".encode("cp1252"), "text/html"),
        ("<meta charset=latin1><title>Größe</title>".encode("cp1252"), ""),
        (
            b'<meta http-equiv=Content-Type content="text/html; charset=iso-8859-1">'
            + "<title>Größe</title>".encode("cp1252"),
            "text/html",
        ),
        ("\ufeff<title>Größe</title>".encode(), "text/html; charset=iso-8859-1"),
        ("\ufeff<title>Größe</title>".encode("utf-16-le"), "text/html; charset=utf-8"),
        ("\ufeff<title>Größe</title>".encode("utf-16-be"), ""),
        ("<meta charset=utf-16><title>Größe</title>".encode(), ""),
        ("<title>Größe</title>".encode(), "text/html; charset=no-such-thing"),
        ("<title>Größe</title>".encode(), "text/html; charset=zlib"),
        ("<title>Größe</title>".encode(), "text/html; charset=idna"),
        ("<title>Größe</title>".encode(), "text/html; charset=a\r\nb\0"),
    ],
)
def test_the_charset_is_found_as_browsers_find_it(body: bytes, content_type: str) -> None:
    assert parse(body, URL, content_type).title == "Größe"


def test_a_byte_that_means_nothing_becomes_a_replacement_character() -> None:
    assert parse(b"<title>a\xffb</title>", URL, "text/html; charset=utf-8").title == "a\ufffdb"


def test_nothing_is_kept_that_jsonb_refuses() -> None:
    """Given NUL characters and half a surrogate pair, raw and as references, then none is in the facts."""
    facts = parse("<title>a\0b&#0;&#xd800;\ud800</title><h1>c\0</h1><a href='/x\0y' rel='\0'>d</a>", URL)

    kept = facts.model_dump_json()
    kept.encode()
    assert "\\u0000" not in kept
    assert "\\ud800" not in json.dumps(json.loads(kept))


def test_long_lists_and_texts_are_cut_but_counted() -> None:
    many = 1_000
    facts = parse("<h2>x</h2><img src=a><a href=/a>b</a>" * many + f"<h1>{'y ' * 5_000}</h1>", URL)

    assert (len(facts.headings), len(facts.images), len(facts.links)) == (MAX_HEADINGS, MAX_IMAGES, MAX_LINKS)
    assert (facts.heading_count, facts.image_count, facts.link_count) == (many + 1, many, many)
    assert facts.images_without_alt == many
    assert len(parse(f"<h1>{'y' * 5_000}</h1>", URL).headings[0].text) == MAX_TEXT


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 300_000,
        "<div><table></div></table>" * 60_000,
        "<a " + " ".join(f"a{number}" for number in range(100_000)) + ">",
        "".join(f"<b a{number}>" for number in range(3_000)) + "<p>x" * 300_000,
    ],
    ids=["nested", "nested behind a table", "attributes", "formatting"],
)
def test_markup_that_would_hold_the_process_for_minutes_is_refused(html: str) -> None:
    with pytest.raises(PageTooDeepError) as refusal:
        parse(html, URL)

    assert refusal.value.final


@pytest.mark.parametrize(
    "html",
    [
        "<ul><li>a<li>b<li>c</ul>" * 10_000,
        "<font><b>wrong order</font></b><p>" * 5_000,
        "<div><span>never closed</div>" * 5_000,
        "<table><tr><td>a<td>b</table>" * 5_000,
        "<p>" * 50_000,
        f'<img src="data:image/png;base64,{"A" * 500_000}">',
    ],
)
def test_sloppy_but_flat_markup_is_read(html: str) -> None:
    assert parse(html, URL).html_length == len(html)
