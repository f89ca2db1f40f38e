"""What one web page says about itself: what analysis works on, small enough to travel and to keep."""

from pydantic import BaseModel, ConfigDict, Field

MAX_TEXT = 500  # characters of one heading, link text or alt
MAX_META = 2_000  # characters of the title or of one meta value
MAX_URL = 2_000
MAX_HEADINGS = 200
MAX_IMAGES = 200
MAX_LINKS = 300
MAX_OPEN_GRAPH = 50


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Heading(_Facts):
    """One of h1 to h6, in the order of the page."""

    level: int = Field(ge=1, le=6)
    text: str


class Image(_Facts):
    """An image; `alt` is None when the attribute is missing, and "" on decoration."""

    src: str
    alt: str | None


class Link(_Facts):
    """A link to a web page."""

    href: str
    """Absolute, without fragment."""
    text: str
    """What is read out for it: its text, else its aria-label, title or the alt of its image."""
    rel: str
    internal: bool


class PageFacts(_Facts):
    """The facts of one page. Lists and texts are cut to their limits; counts are of the whole page."""

    url: str
    html_length: int
    """Characters of the markup."""
    title: str | None = None
    meta_description: str | None = None
    meta_keywords: str | None = None
    canonical: str | None = None
    """Absolute; None when the page names none."""
    robots: str | None = None
    lang: str | None = None
    viewport: str | None = None
    open_graph: dict[str, str] = {}
    """Properties without their "og:"."""
    title_count: int = 0
    word_count: int = 0
    """Words a reader sees: no scripts, styles or templates."""
    headings: tuple[Heading, ...] = ()
    heading_count: int = 0
    images: tuple[Image, ...] = ()
    image_count: int = 0
    images_without_alt: int = 0
    links: tuple[Link, ...] = ()
    link_count: int = 0
    internal_link_count: int = 0
    links_without_text: int = 0
    insecure_link_count: int = 0
    """Links whose scheme is http."""
    structured_data_count: int = 0
    """JSON-LD scripts."""
