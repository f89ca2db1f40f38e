"""The facts of a page as events carry them, and back: events have a limit of size, and other scanners say less."""

from actors.pages.facts import PageFacts
from schemas.pages import ScannedPage

MAX_BYTES = 200_000
"""Below the 256 KiB from which on an event is called large. A page of two hundred data links gets there."""

_LISTS = ("links", "images", "headings")


def scanned(facts: PageFacts) -> ScannedPage:
    """The facts as an event's part; the longest lists lose their ends until it is small enough. Counts stay true."""
    page = ScannedPage.model_validate(facts.model_dump())
    while len(page.model_dump_json().encode()) > MAX_BYTES:
        longest = max(_LISTS, key=lambda name: _size(page, name))
        if not _size(page, longest):
            break
        items = getattr(page, longest)
        page = page.model_copy(update={longest: items[: len(items) // 2]})
    return page


def facts_of(page: ScannedPage, url: str) -> PageFacts:
    """What an analyser works on. `url` is where the page was asked for; counts that nobody made are made of the lists."""
    told = page.model_dump(exclude_none=True)
    return PageFacts.model_validate(
        {"url": url, **_counted(page), **told, "links": _links(page), "images": _images(page)}
    )


def _size(page: ScannedPage, name: str) -> int:
    return sum(len(item.model_dump_json()) for item in getattr(page, name))


def _counted(page: ScannedPage) -> dict[str, int]:
    return {
        "title_count": int(page.title is not None),
        "heading_count": len(page.headings),
        "image_count": len(page.images),
        "images_without_alt": sum(image.alt is None for image in page.images),
        "link_count": len(page.links),
        "internal_link_count": sum(link.internal for link in page.links),
        "links_without_text": sum(not link.text for link in page.links),
        "insecure_link_count": sum(link.href.startswith("http:") for link in page.links),
    }


def _links(page: ScannedPage) -> list[dict[str, object]]:
    return [{**link.model_dump(), "rel": link.rel or ""} for link in page.links]


def _images(page: ScannedPage) -> list[dict[str, object]]:
    return [image.model_dump() for image in page.images]
