"""A look at the markup before it is parsed, for nesting that makes parsing slow or its tree huge.

The tree builder of HTML walks its stack of open elements at each block: 20,000 unclosed ``<div>`` cost 1 s of
C code that nothing can interrupt, 400,000 more than 2 minutes, and the attributes of one tag behave alike
(measured with selectolax 1.0.2). It also opens each unclosed ``<b>`` again in each paragraph that follows.
This walk is linear, adds up both costs and errs on the strict side; real pages stay far below.
"""

import re

from broker.fetching.errors import PageTooDeepError

MAX_STEPS = 200_000_000  # up and down the stack: about 1 s
MAX_REOPENED = 3_000_000  # elements, about 100 bytes each
MAX_ATTRIBUTES = 1_000  # of one tag that is longer than 1,000 characters


def check_nesting(html: str) -> None:
    """Raise PageTooDeepError for markup that the parser would take minutes or gigabytes for."""
    opened: list[str] = []
    formatting = steps = reopened = 0
    for tag in _TAG.finditer(html):
        name = tag["name"].lower()
        if tag["slash"]:
            formatting -= _close(opened, name)
            continue
        steps += len(opened)
        reopened += formatting
        if steps > MAX_STEPS or reopened > MAX_REOPENED:
            raise PageTooDeepError("the page nests its elements too deeply to be read")
        if name not in _NEVER_DEEP:
            opened.append(name)
            formatting += name in _FORMATTING
    for tag in _LONG_TAG.finditer(html):
        if len(_SEPARATOR.findall(_QUOTED.sub("", tag[0]))) > MAX_ATTRIBUTES:
            raise PageTooDeepError("an element of the page has too many attributes")


def _close(opened: list[str], name: str) -> bool:
    """Close this element; say whether it was a formatting one.

    Forgiven are plain wrappers left open in between, and formatting that ends in the wrong order, which
    parsers open again. Across anything else, a parser may keep it open, and so it stays counted.
    """
    crossable = _FORGIVEN | _FORMATTING if name in _FORMATTING else _FORGIVEN
    top = len(opened) - 1
    while top >= 0 and opened[top] != name and opened[top] in crossable:
        top -= 1
    if top < 0 or opened[top] != name:
        return False
    opened[top:] = [other for other in opened[top + 1 :] if other in _FORMATTING]
    return name in _FORMATTING


_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[a-zA-Z][^\s/>]{0,40})")
_LONG_TAG = re.compile(r"<[a-zA-Z](?:[^<>\"']|\"[^\"]*\"|'[^']*'){1000,}+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_SEPARATOR = re.compile(r"[\s/]+[^\s/]")
_FORGIVEN = frozenset({"span", "label", "path", "g"})
# fmt: off
_FORMATTING = frozenset({
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
})
# Void elements, and those that a sibling closes; to nest the latter takes another element, which is counted.
_NEVER_DEEP = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr", "html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead",
    "tbody", "tfoot", "colgroup", "rb", "rt", "rtc", "rp",
})
# fmt: on
