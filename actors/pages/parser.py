"""Reading the facts of a page out of its HTML, however broken the HTML is."""

from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from actors.pages import facts as limits
from actors.pages.facts import Heading, Image, Link, PageFacts
from broker.fetching.charset import decode
from broker.fetching.nesting import check_nesting


def parse(html: bytes | str, url: str, content_type: str = "") -> PageFacts:
    """Return the facts of the page at `url`; `content_type` is the header, for its charset.

    All texts are free of NUL characters and lone surrogates, which PostgreSQL's jsonb refuses. Raises
    PageTooDeepError for markup that would hold the process for minutes.
    """
    text = decode(html, content_type) if isinstance(html, bytes) else html
    clean = _clean(text)
    check_nesting(clean)
    tree = LexborHTMLParser(clean)
    meta = _meta_values(tree)
    base = _base_url(tree, url)
    links = _links(tree, base, url)
    images = [_image(node, base) for node in tree.css("img")]
    headings = [Heading(level=_level(node), text=_text(node)) for node in tree.css("h1,h2,h3,h4,h5,h6")]
    titles = tree.css("head > title") or tree.css("body > title")
    return PageFacts(
        url=_cut(url, limits.MAX_URL),
        html_length=len(text),
        title=_squeeze(titles[0].text(), limits.MAX_META) if titles else None,
        meta_description=meta.get("description"),
        meta_keywords=meta.get("keywords"),
        canonical=_canonical(tree, base),
        robots=meta.get("robots"),
        lang=_attribute(tree.root, "lang", 50) if tree.root else None,
        viewport=meta.get("viewport"),
        open_graph=_open_graph(meta),
        title_count=len(titles),
        headings=tuple(headings[: limits.MAX_HEADINGS]),
        heading_count=len(headings),
        images=tuple(images[: limits.MAX_IMAGES]),
        image_count=len(images),
        images_without_alt=sum(image.alt is None for image in images),
        links=tuple(links[: limits.MAX_LINKS]),
        link_count=len(links),
        internal_link_count=sum(link.internal for link in links),
        links_without_text=sum(not link.text for link in links),
        insecure_link_count=sum(link.href.startswith("http:") for link in links),
        structured_data_count=len(tree.css('script[type="application/ld+json" i]')),
        word_count=_count_words(tree),  # last, because it takes the unseen parts out of the tree
    )


def _meta_values(tree: LexborHTMLParser) -> dict[str, str]:
    """The first value of each meta name or property; names in lower case."""
    values: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        name = (_attribute(node, "name", 100) or _attribute(node, "property", 100) or "").lower()
        if name and name not in values:
            values[name] = _squeeze(node.attributes.get("content") or "", limits.MAX_META)
    return values


def _open_graph(meta: dict[str, str]) -> dict[str, str]:
    found = [(name[3:], value) for name, value in meta.items() if name.startswith("og:")]
    return dict(found[: limits.MAX_OPEN_GRAPH])


def _base_url(tree: LexborHTMLParser, url: str) -> str:
    node = tree.css_first("base[href]")
    return (_absolute(node, "href", url) if node else None) or url


def _canonical(tree: LexborHTMLParser, base: str) -> str | None:
    node = tree.css_first('link[rel~="canonical" i][href]')
    return _absolute(node, "href", base) if node else None


def _links(tree: LexborHTMLParser, base: str, url: str) -> list[Link]:
    """Links to web pages; mailto, tel, javascript and jumps inside the page are none."""
    own = _site(url)
    links = []
    for node in tree.css("a[href]"):
        href = _absolute(node, "href", base)
        if href is None or (node.attributes.get("href") or "").lstrip().startswith("#"):
            continue
        rel = _attribute(node, "rel", 100) or ""
        links.append(Link(href=href, text=_link_text(node), rel=rel, internal=_site(href) == own))
    return links


def _link_text(node: LexborNode) -> str:
    text = _text(node)
    if text:
        return text
    for name in ("aria-label", "title"):
        if label := _attribute(node, name, limits.MAX_TEXT):
            return label
    image = node.css_first("img[alt]")
    return (_attribute(image, "alt", limits.MAX_TEXT) or "") if image else ""


def _image(node: LexborNode, base: str) -> Image:
    alt = _attribute(node, "alt", limits.MAX_TEXT)
    if "alt" in node.attributes and alt is None:
        alt = ""
    # A data URL holds the picture itself; kept, it would be most of the facts.
    return Image(src=_absolute(node, "src", base) or _cut(node.attributes.get("src") or "", 100), alt=alt)


def _absolute(node: LexborNode, name: str, base: str) -> str | None:
    """The web address in this attribute, or None when it holds none."""
    raw = _attribute(node, name, 10 * limits.MAX_URL)
    if raw is None:
        return None
    try:
        url = urldefrag(urljoin(base, raw)).url
        found = urlsplit(url)
    except ValueError:
        return None
    return _cut(url, limits.MAX_URL) if found.scheme in ("http", "https") and found.netloc else None


def _site(url: str) -> str:
    """The host, and port if any, as far as it tells one site from another."""
    try:
        return urlsplit(url).netloc.lower().rpartition("@")[2].removeprefix("www.")
    except ValueError:
        return ""


def _count_words(tree: LexborHTMLParser) -> int:
    tree.strip_tags(["script", "style", "template", "noscript", "svg"])
    return len(tree.body.text(separator=" ").split()) if tree.body else 0


def _level(node: LexborNode) -> int:
    return int((node.tag or "h1")[1])


def _text(node: LexborNode) -> str:
    return _squeeze(node.text(separator=" "), limits.MAX_TEXT)


def _attribute(node: LexborNode, name: str, size: int) -> str | None:
    value = node.attributes.get(name)
    return None if value is None else _cut(value.strip(), size)


def _squeeze(text: str, size: int) -> str:
    return _cut(" ".join(text[: 20 * size].split()), size)


def _cut(text: str, size: int) -> str:
    return _clean(text)[:size]


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
