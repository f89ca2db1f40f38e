"""Pages: what is said while a web page is scanned and analysed."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AliasChoices, Field, HttpUrl, StringConstraints

from .event import Event, Part
from .marks import SUBJECT

MAX_URL = 2083
MAX_TEXT = 500
MAX_META = 2000
MAX_HEADINGS = 300
MAX_IMAGES = 300
MAX_LINKS = 300
"""An event may have 1 MiB; 300 links of a usual 100 bytes are 30 KB. The scanner cuts longer lists."""
MAX_OPEN_GRAPH = 50
MAX_BATCH = 500
"""Pages of one batch: their requests leave in one commit, and 500 addresses of the longest kind are a megabyte."""

Url = Annotated[str, StringConstraints(max_length=MAX_URL)]
"""As the page wrote it, perhaps relative or broken: a scan reports, it does not judge."""
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Meta = Annotated[str, StringConstraints(max_length=MAX_META)]
Count = Annotated[int | None, Field(ge=0)]
UserId = Annotated[str, StringConstraints(min_length=1, max_length=255), SUBJECT]


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
    internal: bool = False


class ScannedPage(Part):
    """What was found on a page. None means that the page does not say; a count of None, that nobody counted.

    Lists and texts are cut; counts are of the whole page. Beyond `html_length` nothing is needed: other
    scanners say less."""

    html_length: int = Field(ge=0)
    url: Url | None = None
    """Where the page was in the end, after redirects."""
    title: Meta | None = None
    meta_description: Meta | None = None
    meta_keywords: Meta | None = None
    canonical: Url | None = None
    robots: Meta | None = None
    headings: tuple[Heading, ...] = Field(default=(), max_length=MAX_HEADINGS)
    images: tuple[Image, ...] = Field(default=(), max_length=MAX_IMAGES)
    links: tuple[Link, ...] = Field(default=(), max_length=MAX_LINKS)
    lang: Text | None = None
    viewport: Meta | None = None
    open_graph: dict[str, Meta] = Field(default={}, max_length=MAX_OPEN_GRAPH)
    """Properties without their "og:"."""
    title_count: Count = None
    word_count: Count = None
    heading_count: Count = None
    image_count: Count = None
    images_without_alt: Count = None
    link_count: Count = None
    internal_link_count: Count = None
    links_without_text: Count = None
    insecure_link_count: Count = None
    structured_data_count: Count = None


class PageScanRequested(Event, type="page.scan.requested", aliases=("page/scan.requested",)):
    page_id: UUID
    url: HttpUrl
    user_id: UserId
    batch_id: UUID | None = None
    """The batch that it is a part of."""


class PageScanSettled(Event, type="page.scan.settled"):
    """A page of this batch is over, well or not: whoever counts may count again."""

    batch_id: UUID


class ProjectBatchScanRequested(
    Event, type="project.batch_scan.requested", aliases=("project/batch.scan", "project/batch_scan.requested")
):
    """Addresses are taken as they are: one that is none is a page that failed, and stops no other."""

    project_id: UUID
    user_id: UserId
    urls: tuple[Url, ...] = Field(min_length=1, max_length=MAX_BATCH)


class BatchProgressUpdated(
    Event, type="batch.progress.updated", aliases=("batch/progress.updated",), audience="outside"
):
    """`done` pages were scanned, `failed` ones could not be; `completed` once these are all."""

    project_id: UUID
    user_id: UserId
    total_pages: int = Field(ge=0)
    done: int = Field(ge=0)
    failed: int = Field(ge=0)
    status: Literal["in-progress", "completed"]


class PageAnalyzeRequested(Event, type="page.analyze.requested", aliases=("page/analyze.requested",)):
    """`scan` is also accepted as `scanData`, its first name."""

    page_id: UUID
    url: HttpUrl
    user_id: UserId
    scan: ScannedPage = Field(validation_alias=AliasChoices("scan", "scanData", "scan_data"))
