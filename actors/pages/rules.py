"""What a good page has, one rule a function: each looks at the facts and gives its advice, or nothing.

The lengths are what search results show before they cut (about 600 and 920 pixels of text).
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from actors.pages.advice import advice
from actors.pages.facts import PageFacts
from actors.pages.recommendation import Priority, Recommendation

TITLE_LENGTH = (15, 60)
DESCRIPTION_LENGTH = (50, 160)
THIN_WORDS = 300
MANY_LINKS = 150
MISSING_SHOWN = 3  # examples in a description

Rule = Callable[[PageFacts], Iterator[Recommendation]]


def title(facts: PageFacts) -> Iterator[Recommendation]:
    shortest, longest = TITLE_LENGTH
    length = len(facts.title or "")
    if not facts.title:
        yield advice(
            "title-missing",
            "The page has no title. Search results and browser tabs show it first: name its subject "
            f"in {shortest} to {longest} characters.",
        )
    elif length < shortest:
        yield advice(
            "title-short",
            f"The title “{facts.title}” has {length} characters. With {shortest} to {longest} it can say "
            "what the page offers and for whom.",
        )
    elif length > longest:
        yield advice(
            "title-long",
            f"The title has {length} characters; search results cut it after about {longest}. Put the words "
            "that matter first.",
        )
    if facts.title_count > 1:
        yield advice(
            "title-multiple",
            f"The page has {facts.title_count} title elements; only the first one counts.",
        )


def description(facts: PageFacts) -> Iterator[Recommendation]:
    shortest, longest = DESCRIPTION_LENGTH
    length = len(facts.meta_description or "")
    if not facts.meta_description:
        yield advice(
            "description-missing",
            "The page has no meta description, so search engines pick a sentence themselves. Sum up the page "
            f"in {shortest} to {longest} characters.",
        )
    elif length < shortest:
        yield advice(
            "description-short",
            f"The meta description has {length} characters; there is room for {longest} to say why to visit.",
        )
    elif length > longest:
        yield advice(
            "description-long",
            f"The meta description has {length} characters; search results cut it after about {longest}.",
        )


def main_heading(facts: PageFacts) -> Iterator[Recommendation]:
    first = [heading for heading in facts.headings if heading.level == 1]
    if not first:
        yield advice(
            "h1-missing",
            "The page has no h1. Give it one that says what the page is about.",
        )
    elif len(first) > 1:
        named = ", ".join(f"“{heading.text[:60]}”" for heading in first[:MISSING_SHOWN])
        yield advice(
            "h1-multiple",
            f"The page has {len(first)} h1 headings ({named}). Keep the one that names the page and make the "
            "others h2.",
        )


def heading_order(facts: PageFacts) -> Iterator[Recommendation]:
    pairs = zip(facts.headings, facts.headings[1:], strict=False)
    jumps = [(before, after) for before, after in pairs if after.level > before.level + 1]
    if jumps:
        before, after = jumps[0]
        yield advice(
            "heading-order",
            f"{_count(len(jumps), 'heading skips', 'headings skip')} a level: “{after.text[:60]}” is an "
            f"h{after.level} right after an h{before.level}. Screen readers use the levels as an outline.",
        )
    empty = sum(not heading.text for heading in facts.headings)
    if empty:
        yield advice(
            "heading-empty",
            f"{_count(empty, 'heading has', 'headings have')} no text.",
        )


def images(facts: PageFacts) -> Iterator[Recommendation]:
    if not facts.images_without_alt:
        return
    named = [image.src.rpartition("/")[2][:60] for image in facts.images if image.alt is None]
    priority: Priority = "high" if facts.images_without_alt * 2 > facts.image_count else "medium"
    yield advice(
        "images-without-alt",
        f"{facts.images_without_alt} of {_count(facts.image_count, 'image', 'images')} without an alt text"
        f"{_examples(named)}. Say what each one shows, or give it an empty alt if it is decoration.",
        priority,
    )


def content(facts: PageFacts) -> Iterator[Recommendation]:
    if facts.word_count < THIN_WORDS:
        priority: Priority = "high" if facts.word_count < THIN_WORDS // 3 else "medium"
        yield advice(
            "content-thin",
            f"The page has {_count(facts.word_count, 'word', 'words')}. Pages under {THIN_WORDS} seldom "
            "answer a question in full.",
            priority,
        )


def canonical(facts: PageFacts) -> Iterator[Recommendation]:
    if facts.canonical is None:
        yield advice(
            "canonical-missing",
            f"The page does not say which address is its own. Add a canonical link to {facts.url}.",
        )
    elif _host(facts.canonical) != _host(facts.url):
        yield advice(
            "canonical-foreign",
            f"The canonical link hands this page's rank to another site: {facts.canonical}.",
        )


def indexing(facts: PageFacts) -> Iterator[Recommendation]:
    words = {word.strip().lower() for word in (facts.robots or "").split(",")}
    if words & {"noindex", "none"}:
        yield advice(
            "robots-noindex",
            f"The robots meta tag says “{facts.robots}”, which keeps the page out of search results. Remove "
            "it, unless that is what you want.",
        )
    elif "nofollow" in words:
        yield advice(
            "robots-nofollow",
            f"The robots meta tag says “{facts.robots}”: none of the links on the page count.",
        )


def language(facts: PageFacts) -> Iterator[Recommendation]:
    if not facts.lang:
        yield advice(
            "lang-missing",
            'The html element has no lang attribute, such as lang="en". Screen readers need it.',
        )


def viewport(facts: PageFacts) -> Iterator[Recommendation]:
    if not facts.viewport:
        yield advice(
            "viewport-missing",
            "The page has no viewport meta tag, so phones show it as a small desktop page. Add "
            '<meta name="viewport" content="width=device-width, initial-scale=1">.',
        )
    elif "user-scalable=no" in facts.viewport.replace(" ", "").lower():
        yield advice(
            "viewport-locked",
            "The viewport meta tag forbids zooming, which shuts out readers with weak eyes.",
        )


def links(facts: PageFacts) -> Iterator[Recommendation]:
    if facts.links_without_text:
        named = [link.href for link in facts.links if not link.text]
        yield advice(
            "links-without-text",
            f"{_count(facts.links_without_text, 'link has', 'links have')} no words{_examples(named)}.",
        )
    if facts.url.startswith("https:") and facts.insecure_link_count:
        named = [link.href for link in facts.links if link.href.startswith("http:")]
        yield advice(
            "links-insecure",
            f"{_count(facts.insecure_link_count, 'link leads', 'links lead')} from this page to plain http"
            f"{_examples(named)}.",
        )
    if facts.internal_link_count == 0:
        yield advice(
            "links-internal-missing",
            "No link leads to another page of this site: readers and search engines come to a dead end.",
        )
    if facts.link_count > MANY_LINKS:
        yield advice(
            "links-many",
            f"The page has {facts.link_count} links; over {MANY_LINKS} each one is worth little.",
        )


def transport(facts: PageFacts) -> Iterator[Recommendation]:
    if facts.url.startswith("http:"):
        yield advice(
            "https-missing",
            "The page came over plain http. Browsers call it “not secure”, and search engines prefer https.",
        )


def sharing(facts: PageFacts) -> Iterator[Recommendation]:
    missing = [name for name in ("title", "description", "image") if not facts.open_graph.get(name)]
    if missing:
        named = ", ".join(f"og:{name}" for name in missing)
        yield advice(
            "open-graph-missing",
            f"Missing: {named}. Without them, networks and messengers guess what to show.",
        )
    if not facts.structured_data_count:
        yield advice(
            "structured-data-missing",
            "The page has no JSON-LD. With it, search results can show prices, dates or ratings.",
        )


RULES: tuple[Rule, ...] = (
    transport, indexing, title, description, main_heading, content, canonical, viewport, language, images,
    heading_order, links, sharing,
)  # fmt: skip


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _examples(named: list[str]) -> str:
    shown = ", ".join(name[:100] for name in named[:MISSING_SHOWN])
    return f" (such as {shown})" if shown else ""


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")
