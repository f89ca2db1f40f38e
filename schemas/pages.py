"""Pages: what is said while a web page is scanned and analysed."""

from typing import Annotated
from uuid import UUID

from pydantic import AliasChoices, Field, HttpUrl, StringConstraints

from .event import Event, Part

MAX_URL = 2083
MAX_TEXT = 500
MAX_META = 2000
MAX_HEADINGS = 300
MAX_IMAGES = 300
MAX_LINKS = 300
"""An event may have 1 MiB; 300 links of a usual 100 bytes are 30 KB. The scanner cuts longer lists."""

Url = Annotated[str, StringConstraints(max_length=MAX_URL)]
"""As the page wrote it, perhaps relative or broken: a scan reports, it does not judge."""
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Meta = Annotated[str, StringConstraints(max_length=MAX_META)]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Heading(Part):
    level: int = Field(ge=1, le=6)
    text: Text


class Image(Part):
    """`alt` is None where the attribute is missing, which is not the same as an empty one."""

    src: Url
    alt: Text | None = None


class Link(Part):
    href: Url
    text: Text = ""
    rel: Text | None = None


class ScannedPage(Part):
    """What was found on a page. None means that the page does not say."""

    html_length: int = Field(ge=0)
    title: Meta | None = None
    meta_description: Meta | None = None
    meta_keywords: Meta | None = None
    canonical: Url | None = None
    robots: Text | None = None
    headings: tuple[Heading, ...] = Field(default=(), max_length=MAX_HEADINGS)
    images: tuple[Image, ...] = Field(default=(), max_length=MAX_IMAGES)
    links: tuple[Link, ...] = Field(default=(), max_length=MAX_LINKS)


class PageScanRequested(Event, type="page.scan.requested", aliases=("page/scan.requested",)):
    page_id: UUID
    url: HttpUrl
    user_id: UserId


class PageAnalyzeRequested(Event, type="page.analyze.requested", aliases=("page/analyze.requested",)):
    """`scan` is also accepted as `scanData`, its first name."""

    page_id: UUID
    url: HttpUrl
    user_id: UserId
    scan: ScannedPage = Field(validation_alias=AliasChoices("scan", "scanData", "scan_data"))
