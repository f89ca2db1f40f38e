"""The name of each built-in piece of advice, with its title, its category and its usual priority."""

from actors.pages.recommendation import Category, Priority, Recommendation


def advice(key: str, text: str, priority: Priority | None = None) -> Recommendation:
    """Give the advice of this key with the text for one page; None is its usual priority."""
    usual, category, title = NAMED[key]
    return Recommendation(
        key=key, title=title, description=text, priority=priority or usual, category=category
    )


NAMED: dict[str, tuple[Priority, Category, str]] = {
    "title-missing": ("high", "metadata", "Add a page title"),
    "title-short": ("medium", "metadata", "Make the title longer"),
    "title-long": ("low", "metadata", "Shorten the title"),
    "title-multiple": ("medium", "metadata", "Keep one title"),
    "description-missing": ("high", "metadata", "Write a meta description"),
    "description-short": ("medium", "metadata", "Make the meta description longer"),
    "description-long": ("low", "metadata", "Shorten the meta description"),
    "h1-missing": ("high", "content", "Add a main heading"),
    "h1-multiple": ("medium", "content", "Keep one main heading"),
    "heading-order": ("low", "accessibility", "Do not skip heading levels"),
    "heading-empty": ("low", "accessibility", "Remove empty headings"),
    "images-without-alt": ("medium", "accessibility", "Describe the images"),
    "content-thin": ("medium", "content", "Write more about the subject"),
    "canonical-missing": ("medium", "technical", "Name the canonical address"),
    "canonical-foreign": ("high", "technical", "Check the canonical address"),
    "robots-noindex": ("high", "technical", "Let search engines show the page"),
    "robots-nofollow": ("medium", "technical", "Let search engines follow the links"),
    "lang-missing": ("medium", "accessibility", "State the language"),
    "viewport-missing": ("high", "mobile", "Fit the page to phones"),
    "viewport-locked": ("medium", "accessibility", "Let readers zoom"),
    "links-without-text": ("medium", "accessibility", "Give every link a text"),
    "links-insecure": ("medium", "technical", "Link to https"),
    "links-internal-missing": ("medium", "links", "Link to other pages of the site"),
    "links-many": ("low", "links", "Reduce the number of links"),
    "https-missing": ("high", "technical", "Serve the page over https"),
    "open-graph-missing": ("low", "sharing", "Prepare the page for sharing"),
    "structured-data-missing": ("low", "technical", "Add structured data"),
}
