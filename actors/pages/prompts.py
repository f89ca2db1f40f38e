"""Prompt templates: text with named places for the facts of a page.

A template comes out of the database, and the facts out of a stranger's page. So a place is a bare name, never
an attribute or an index as in ``str.format``, and a value is put in as it is: braces in it mean nothing.
"""

import re
from collections.abc import Iterable, Mapping

from actors.pages.errors import PromptError
from actors.pages.facts import PageFacts

LISTED = 50  # headings, images or links that a prompt shows; more cost tokens and change no advice


def interpolate(template: str, values: Mapping[str, str]) -> str:
    """Put values in the place of ``{name}`` or ``{{name}}``; all other braces stay, so JSON may be shown.

    Raises PromptError when a name has no value.
    """

    def value(place: re.Match[str]) -> str:
        name = place[1] or place[2]
        if name not in values:
            known = ", ".join(sorted(values))
            raise PromptError(f"the prompt template names {{{name}}}, which is not one of: {known}")
        return values[name]

    return _PLACE.sub(value, template)


def page_values(facts: PageFacts) -> dict[str, str]:
    """The values a template may name: each fact as text, lists one item a line."""
    plain = ("url", "title", "meta_description", "meta_keywords", "canonical", "robots", "lang", "viewport")
    counts = ("html_length", "word_count", "heading_count", "image_count", "images_without_alt", "link_count")
    return {
        **{name: getattr(facts, name) or "(none)" for name in plain},
        **{name: str(getattr(facts, name)) for name in counts},
        "headings": _lines(f"h{heading.level}: {heading.text}" for heading in facts.headings[:LISTED]),
        "images": _lines(f"{image.src} alt={image.alt!r}" for image in facts.images[:LISTED]),
        "links": _lines(f"{link.href} {link.text!r}" for link in facts.links[:LISTED]),
        "facts": facts_for_model(facts),
    }


def facts_for_model(facts: PageFacts) -> str:
    """All facts as JSON, with the lists cut to what a model needs."""
    short = facts.model_copy(
        update={
            "headings": facts.headings[:LISTED],
            "images": facts.images[:LISTED],
            "links": facts.links[:LISTED],
        }
    )
    return short.model_dump_json(exclude_none=True)


def _lines(items: Iterable[str]) -> str:
    return "\n".join(items) or "(none)"


_PLACE = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}|\{([a-z][a-z0-9_]*)\}")
